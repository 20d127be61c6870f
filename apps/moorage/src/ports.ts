import { createServer, type Server } from 'node:net';
import type { Settings } from '#process';
import { hasCode, StartupError } from './startup-error.js';

export type PortName =
  | 'httpPort'
  | 'mqttPort'
  | 'mqttsPort'
  | 'wsPort'
  | 'wssPort'
  | 'opsPort'
  | 'postgresPort';
export type Ports = Readonly<Record<PortName, number>>;

/** The setting that decides each port. */
export const portSettings: Readonly<Record<PortName, string>> = {
  httpPort: 'MOORAGE_HTTP_PORT',
  mqttPort: 'MOORAGE_MQTT_PORT',
  mqttsPort: 'MOORAGE_MQTTS_PORT',
  wsPort: 'MOORAGE_WS_PORT',
  wssPort: 'MOORAGE_WSS_PORT',
  opsPort: 'MOORAGE_OPS_PORT',
  postgresPort: 'MOORAGE_POSTGRES_PORT',
};

const portNames = Object.keys(portSettings) as PortName[];

/**
 * Chooses a free port where the setting is 0, and makes sure that the others are free, before anything is started: a child
 * that finds its port taken would only be restarted for ever. Chosen ports stay for the life of this process, so that a
 * restarted child is where its clients look for it.
 */
export async function choosePorts(settings: Settings): Promise<Ports> {
  const held: Server[] = [];
  const taken: string[] = [];
  const ports: Partial<Record<PortName, number>> = {};
  try {
    // First those that are said: none of them is given away to one that may be any.
    for (const name of portNames.toSorted((a, b) => isAny(settings[a]) - isAny(settings[b]))) {
      // PostgreSQL listens on loopback whatever the devices may reach.
      const host = name === 'postgresPort' ? '127.0.0.1' : settings.bind;
      const server = createServer();
      try {
        ports[name] = await listen(server, settings[name], host);
        held.push(server);
      } catch (error) {
        const twin = portNames.find((other) => ports[other] === settings[name]);
        taken.push(
          twin === undefined
            ? describe(error, name, settings[name], host)
            : `${portSettings[name]}: port ${settings[name]} is also that of ${portSettings[twin]}`,
        );
      }
    }
  } finally {
    await Promise.all(held.map(close));
  }
  if (taken.length > 0) throw new StartupError('port.unusable', [...new Set(taken)].join('; '));
  return ports as Ports;
}

function isAny(port: number): number {
  return Number(port === 0);
}

function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

function describe(error: unknown, name: PortName, port: number, host: string): string {
  const setting = portSettings[name];
  if (hasCode(error, 'EADDRINUSE')) return `${setting}: port ${port} on ${host} is in use`;
  if (hasCode(error, 'EACCES')) return `${setting}: port ${port} needs rights this user does not have`;
  if (hasCode(error, 'EADDRNOTAVAIL')) return `MOORAGE_BIND: ${host} is not an address of this machine`;
  if (hasCode(error, 'ENOTFOUND') || hasCode(error, 'EAI_AGAIN')) {
    return `MOORAGE_BIND: ${host} is no address, nor a name that has one`;
  }
  return `${setting}: cannot listen on ${host}:${port} (${error instanceof Error ? error.message : String(error)})`;
}
