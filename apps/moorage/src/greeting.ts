import { relative } from 'node:path';
import type { Bootstrap } from './bootstrap-file.js';
import type { MemoryInUse } from './memory.js';
import { shellWord } from './shell-word.js';

export interface Measured {
  /** From the command to the first CONNECT that was accepted. */
  readonly firstConnectMs: number | undefined;
  readonly memory: MemoryInUse | undefined;
  /** Whether PostgreSQL is one of our processes. */
  readonly isEmbedded: boolean;
}

/** What to do next, ready to paste. Secrets are not printed: the shell reads them from the data directory. */
export function greet(dataDir: string, bootstrap: Bootstrap, measured: Measured): void {
  const { api, mqtt, mqtts, ws, wss } = bootstrap;
  const dir = shortest(dataDir);
  console.log(`
Moorage is running.

  REST            ${api}/v1   to browse ${api}/docs
  GraphQL         ${api}/graphql
  MQTT            ${mqtt.host}:${mqtt.port}
  MQTT over TLS   ${mqtts.host}:${mqtts.port}   trust ${shortest(mqtts.ca)}
  WebSocket       ${ws.host}:${ws.port}/mqtt, over TLS ${wss.host}:${wss.port}/mqtt
  keys, passwords ${dir}/bootstrap.json

In another terminal:

  . ${shellWord(`${dir}/demo.env`)}
  curl -H "Authorization: Bearer $ADMIN_KEY" $API/v1/tenants/$TENANT/devices
  npx mqtt pub -h $HOST -p $MQTT_PORT -i $DEVICE -u $DEVICE_USERNAME --password=$DEVICE_PASSWORD \\
    -q 1 -t devices/$DEVICE/telemetry -m '{"heartRate": 62}'
  curl -H "Authorization: Bearer $ADMIN_KEY" $API/v1/tenants/$TENANT/devices/$DEVICE_ID/telemetry
  npm run simulate -- --bootstrap ${shellWord(`${dir}/bootstrap.json`)} --devices 50 --duration 20
${measuredLines(measured)}
Ctrl-C stops everything.
`);
}

function measuredLines({ firstConnectMs, memory, isEmbedded }: Measured): string {
  const lines: string[] = [];
  if (firstConnectMs !== undefined) {
    lines.push(`From the command to the first accepted CONNECT: ${(firstConnectMs / 1000).toFixed(1)} s.`);
  }
  if (memory !== undefined) {
    const mb = (bytes: number) => Math.round(bytes / 1e6);
    lines.push(
      `Memory in use by all ${memory.processes} processes${isEmbedded ? ", PostgreSQL's included" : ''}: ${mb(memory.pssBytes)} MB ` +
        `(shared pages counted once; ${mb(memory.rssBytes)} MB counted in each process).`,
    );
  }
  return lines.map((line) => `\n${line}`).join('');
}

function shortest(path: string): string {
  const fromHere = relative('', path);
  return fromHere !== '' && fromHere.length < path.length ? fromHere : path;
}
