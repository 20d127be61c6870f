import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { hasCode, StartupError } from './startup-error.js';
import { shellWord } from './shell-word.js';

const endpoint = z.object({ host: z.string(), port: z.number() });
const tlsEndpoint = endpoint.extend({ ca: z.string() });
const device = z.object({
  id: z.string(),
  clientId: z.string(),
  username: z.string(),
  password: z.string(),
});

const form = z.object({
  api: z.string(),
  adminKey: z.string(),
  tenant: z.string(),
  tenantId: z.string(),
  mqtt: endpoint,
  mqtts: tlsEndpoint,
  ws: endpoint,
  wss: tlsEndpoint,
  devices: z.array(device),
  open: z.object({ username: z.string(), password: z.string() }),
});

/** What a first start leaves for its owner, the simulator and the benchmarks: where everything is, and how to get in. */
export type Bootstrap = z.infer<typeof form>;
export type DemoDevice = z.infer<typeof device>;

const fileName = 'bootstrap.json';

/** Undefined at the first start. The secrets in it are nowhere else, so a file that cannot be understood stops the start. */
export async function readBootstrap(dataDir: string): Promise<Bootstrap | undefined> {
  const file = join(dataDir, fileName);
  try {
    return form.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) return undefined;
    throw new StartupError(
      'bootstrap.unreadable',
      `${file} cannot be understood; repair it, or remove it to get a new administrator key and demo credentials`,
      { cause },
    );
  }
}

/** Also `demo.env`, the same for a shell. Readers see the old file or the new one, never half of it. */
export async function writeBootstrap(dataDir: string, bootstrap: Bootstrap): Promise<void> {
  await replace(join(dataDir, fileName), `${JSON.stringify(bootstrap, null, 2)}\n`);
  await replace(join(dataDir, 'demo.env'), shellVariables(bootstrap));
}

async function replace(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text, { mode: 0o600, flush: true });
  await rename(`${file}.new`, file);
}

/** For `. .moorage/demo.env`: the names that the README's tour uses. */
function shellVariables({
  api,
  adminKey,
  tenant,
  devices: [first],
  mqtt,
  mqtts,
  ws,
  wss,
}: Bootstrap): string {
  const variables = {
    API: api,
    ADMIN_KEY: adminKey,
    TENANT: tenant,
    HOST: mqtt.host,
    MQTT_PORT: mqtt.port,
    MQTTS_PORT: mqtts.port,
    WS_PORT: ws.port,
    WSS_PORT: wss.port,
    CA: mqtts.ca,
    DEVICE_ID: first?.id ?? '',
    DEVICE: first?.clientId ?? '',
    DEVICE_USERNAME: first?.username ?? '',
    DEVICE_PASSWORD: first?.password ?? '',
  };
  return Object.entries(variables)
    .map(([name, value]) => `${name}=${shellWord(String(value))}\n`)
    .join('');
}
