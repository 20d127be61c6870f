import type { Connection } from '../connection.js';
import { pingResponse } from '../encode.js';

export function ping(connection: Connection): void {
  connection.outbox.write(pingResponse); // MQTT-3.12.4-1
}
