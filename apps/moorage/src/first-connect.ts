import { connectAsync } from 'mqtt';
import type { Bootstrap } from './bootstrap-file.js';

/** Signs a demo device in and out again, as any client would, and says when its CONNECT was accepted. */
export async function acceptedAt({ mqtt, devices }: Bootstrap): Promise<number | undefined> {
  const [device] = devices;
  if (device === undefined) return undefined;
  const client = await connectAsync({
    host: mqtt.host,
    port: mqtt.port,
    protocolVersion: 5,
    clientId: device.clientId,
    username: device.username,
    password: device.password,
    reconnectPeriod: 0,
    connectTimeout: 5_000,
  });
  const at = performance.timeOrigin + performance.now();
  await client.endAsync();
  return at;
}
