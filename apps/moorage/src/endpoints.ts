import { hostname } from 'node:os';
import type { Settings } from '#process';
import type { Bootstrap } from './bootstrap-file.js';
import { portSettings, type PortName, type Ports } from './ports.js';

export type Endpoints = Pick<Bootstrap, 'api' | 'mqtt' | 'mqtts' | 'ws' | 'wss'>;

/** An address that a client on this machine can use: who listens everywhere also listens on loopback. */
export function reachableHost(bind: string): string {
  if (bind === '0.0.0.0') return '127.0.0.1';
  return bind === '::' ? '::1' : bind;
}

export function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

export function endpointsOf(settings: Settings, ports: Ports, ca: string): Endpoints {
  const host = reachableHost(settings.bind);
  return {
    api: `http://${urlHost(host)}:${ports.httpPort}`,
    mqtt: { host, port: ports.mqttPort },
    mqtts: { host, port: ports.mqttsPort, ca },
    ws: { host, port: ports.wsPort },
    wss: { host, port: ports.wssPort, ca },
  };
}

/** What the development certificate names beside loopback. */
export function certificateNames(bind: string): readonly string[] {
  const isEverywhere = bind === '0.0.0.0' || bind === '::';
  return isEverywhere ? [hostname()] : [bind];
}

/** The children read the same settings, with every choice made. */
export function childSettings(settings: Settings, ports: Ports): Record<string, string> {
  return {
    MOORAGE_DATA_DIR: settings.dataDir,
    ...Object.fromEntries(
      Object.entries(portSettings).map(([name, variable]) => [variable, String(ports[name as PortName])]),
    ),
  };
}
