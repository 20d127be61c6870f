import { resolve } from 'node:path';

import { z } from 'zod';

import { Secret } from './secret.js';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Certificates of single host names; undefined: none. */
  readonly hostsDir: string | undefined;
}

/** Everything the environment decides, read once. Port 0 asks the operating system for a free one. */
export interface Settings {
  /** Absolute path. */
  readonly dataDir: string;
  readonly bind: string;
  readonly httpPort: number;
  readonly mqttPort: number;
  readonly mqttsPort: number;
  readonly wsPort: number;
  readonly wssPort: number;
  readonly opsPort: number;
  /** Of the api, as the broker reaches it. */
  readonly apiUrl: string;
  readonly postgresPort: number;
  /** Addresses and ranges that proxies connect to the broker from, each connection with a header of the PROXY protocol. */
  readonly proxyProtocolFrom: readonly string[];
  /** Where MQTT 5.0 clients are sent when the broker stops (Server Reference). Undefined: they are told to come again. */
  readonly serverReference: string | undefined;
  /** Addresses and ranges that are not public, and that what tenants name may lead to all the same. */
  readonly egressAllow: readonly string[];
  /** Undefined: the supervisor runs its own PostgreSQL. */
  readonly databaseUrl: Secret<string> | undefined;
  /** 32 bytes. Undefined: `loadSecretKey` keeps one in the data directory. */
  readonly secretKey: Secret<Buffer> | undefined;
  /** The server's certificate chain and key, PEM; in the data directory where none is given. */
  readonly tls: TlsFiles;
  /** True where the certificate comes from the operator and not from the development CA. */
  readonly tlsIsGiven: boolean;
  readonly logLevel: LogLevel;
}

/** The environment cannot be used. The message names the variable and never shows a secret's value. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(
    readonly code: 'config.unknown' | 'config.invalid',
    readonly variable: string,
    problem: string,
  ) {
    super(`${variable}: ${problem}`);
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

export const settingNames = [
  'MOORAGE_DATA_DIR',
  'MOORAGE_BIND',
  'MOORAGE_HTTP_PORT',
  'MOORAGE_MQTT_PORT',
  'MOORAGE_MQTTS_PORT',
  'MOORAGE_WS_PORT',
  'MOORAGE_WSS_PORT',
  'MOORAGE_OPS_PORT',
  'MOORAGE_API_URL',
  'MOORAGE_POSTGRES_PORT',
  'MOORAGE_PROXY_PROTOCOL_FROM',
  'MOORAGE_SERVER_REFERENCE',
  'MOORAGE_EGRESS_ALLOW',
  'MOORAGE_SECRET_KEY',
  'MOORAGE_TLS_CERT_FILE',
  'MOORAGE_TLS_KEY_FILE',
  'MOORAGE_TLS_HOSTS_DIR',
  'MOORAGE_LOG_LEVEL',
  'DATABASE_URL',
] as const;

type SettingName = (typeof settingNames)[number];

const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];

/**
 * The settings of this process, frozen. Throws ConfigError for the first `MOORAGE_*` name nobody knows (a misspelled setting
 * must not be a default in disguise) and for the first value that cannot be meant. An empty value counts as absent.
 */
export function readSettings(env: Environment = process.env): Settings {
  refuseUnknownNames(env);
  // Beside the place it is started from: visible, and removed with the folder.
  const dataDir = resolve(read(env, 'MOORAGE_DATA_DIR') ?? '.moorage');
  const certFile = read(env, 'MOORAGE_TLS_CERT_FILE');
  const keyFile = read(env, 'MOORAGE_TLS_KEY_FILE');
  refuseHalfAPair(certFile, keyFile);
  return Object.freeze({
    dataDir,
    // Loopback: nobody else reaches a first start with its demo credentials.
    bind: readBind(env),
    // TCP ports. 1883 and 8883 are IANA's for MQTT; 8083 and 8084 are what other brokers use for WebSocket.
    httpPort: readPort(env, 'MOORAGE_HTTP_PORT', 3000),
    mqttPort: readPort(env, 'MOORAGE_MQTT_PORT', 1883),
    mqttsPort: readPort(env, 'MOORAGE_MQTTS_PORT', 8883),
    wsPort: readPort(env, 'MOORAGE_WS_PORT', 8083),
    wssPort: readPort(env, 'MOORAGE_WSS_PORT', 8084),
    // The broker's health and metrics, next to the api's port and never the same as a device's.
    opsPort: readPort(env, 'MOORAGE_OPS_PORT', 3001),
    // The api of this machine, at the port that it has by its own setting.
    apiUrl: readApiUrl(env),
    // A free one: the embedded PostgreSQL is nobody's but ours, and must not meet one that is installed.
    postgresPort: readPort(env, 'MOORAGE_POSTGRES_PORT', 0),
    // None: clients connect directly, and nobody may say who somebody else is.
    proxyProtocolFrom: readAddressRanges(env, 'MOORAGE_PROXY_PROTOCOL_FROM'),
    // None: one installation has one address, and clients come back to it.
    serverReference: readServerReference(env),
    // None: a tenant who names an address must not reach the operator's own network by it.
    egressAllow: readAddressRanges(env, 'MOORAGE_EGRESS_ALLOW'),
    databaseUrl: readDatabaseUrl(env),
    secretKey: readSecretKey(env),
    tls: Object.freeze({
      certFile: resolve(certFile ?? `${dataDir}/tls/server.crt`),
      keyFile: resolve(keyFile ?? `${dataDir}/tls/server.key`),
      hostsDir: readPath(env, 'MOORAGE_TLS_HOSTS_DIR'),
    }),
    tlsIsGiven: certFile !== undefined,
    // One line a fact that an operator wants to know; `debug` adds one a connection or more.
    logLevel: readLogLevel(env, 'info'),
  });
}

function refuseUnknownNames(env: Environment): void {
  const known: ReadonlySet<string> = new Set(settingNames);
  for (const name of Object.keys(env)) {
    if (name.startsWith('MOORAGE_') && !known.has(name)) {
      throw new ConfigError(
        'config.unknown',
        name,
        `there is no such setting; there are ${settingNames.join(', ')}`,
      );
    }
  }
}

function refuseHalfAPair(certFile: string | undefined, keyFile: string | undefined): void {
  if ((certFile === undefined) === (keyFile === undefined)) return;
  const missing = certFile === undefined ? 'MOORAGE_TLS_CERT_FILE' : 'MOORAGE_TLS_KEY_FILE';
  throw new ConfigError('config.invalid', missing, 'certificate and key are given together or not at all');
}

function read(env: Environment, name: SettingName): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

/** `host`, or `host:port`; several, separated by spaces, as MQTT 5.0 advises (4.11). */
function readServerReference(env: Environment): string | undefined {
  const name = 'MOORAGE_SERVER_REFERENCE';
  const text = read(env, name);
  if (text === undefined || text.split(' ').every(isReference)) return text;
  throw new ConfigError('config.invalid', name, `'${text}' is not a list of hosts, or of host:port`);
}

/** An address of IPv6 stands in brackets where a port follows. */
function isReference(text: string): boolean {
  const found = /^(?:\[[\da-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/i.exec(text);
  if (found === null) return /^(?:[\da-f]*:){2,}[\da-f.]*$/i.test(text);
  const port = Number(found[1] ?? 1);
  return port > 0 && port <= 65_535;
}

function readPort(env: Environment, name: SettingName, fallback: number): number {
  const text = read(env, name);
  if (text === undefined) return fallback;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Infinity;
  if (port > 65_535) throw new ConfigError('config.invalid', name, `'${text}' is not a port (0 to 65535)`);
  return port;
}

function readPath(env: Environment, name: SettingName): string | undefined {
  const text = read(env, name);
  return text === undefined ? undefined : resolve(text);
}

function readApiUrl(env: Environment): string {
  const text = read(env, 'MOORAGE_API_URL');
  if (text === undefined) {
    const bind = readBind(env);
    const host = bind === '0.0.0.0' || bind === '::' ? '127.0.0.1' : bind;
    return `http://${host.includes(':') ? `[${host}]` : host}:${readPort(env, 'MOORAGE_HTTP_PORT', 3000)}`;
  }
  const url = URL.parse(text);
  const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.search === '';
  if (isPlain) return text.replace(/\/+$/, '');
  throw new ConfigError('config.invalid', 'MOORAGE_API_URL', 'is not a URL like http://10.0.0.1:3000');
}

const addressRange = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]);

function readAddressRanges(env: Environment, name: SettingName): readonly string[] {
  const ranges = read(env, name)?.split(',') ?? [];
  return Object.freeze(
    ranges.map((text) => {
      const range = addressRange.safeParse(text.trim());
      if (range.success) return range.data;
      throw new ConfigError(
        'config.invalid',
        name,
        `'${text.trim()}' is not an address or a range like 10.0.0.0/8`,
      );
    }),
  );
}

function readBind(env: Environment): string {
  const text = read(env, 'MOORAGE_BIND') ?? '127.0.0.1';
  if (/^[\w.:-]+$/.test(text)) return text;
  throw new ConfigError('config.invalid', 'MOORAGE_BIND', `'${text}' is not an address or host name`);
}

function readLogLevel(env: Environment, fallback: LogLevel): LogLevel {
  const text = read(env, 'MOORAGE_LOG_LEVEL');
  if (text === undefined) return fallback;
  const level = logLevels.find((known) => known === text);
  if (level !== undefined) return level;
  throw new ConfigError(
    'config.invalid',
    'MOORAGE_LOG_LEVEL',
    `'${text}' is none of ${logLevels.join(', ')}`,
  );
}

function readDatabaseUrl(env: Environment): Secret<string> | undefined {
  const text = read(env, 'DATABASE_URL');
  if (text === undefined) return undefined;
  const url = URL.parse(text);
  if (url !== null && (url.protocol === 'postgresql:' || url.protocol === 'postgres:'))
    return new Secret(text);
  // The value holds a password: it is not shown.
  throw new ConfigError('config.invalid', 'DATABASE_URL', 'is not a postgresql:// URL');
}

function readSecretKey(env: Environment): Secret<Buffer> | undefined {
  const text = read(env, 'MOORAGE_SECRET_KEY');
  if (text === undefined) return undefined;
  const key = decodeKey(text);
  if (key !== undefined) return new Secret(key);
  throw new ConfigError(
    'config.invalid',
    'MOORAGE_SECRET_KEY',
    'is not 32 bytes in hexadecimal or base64url',
  );
}

/** 32 bytes as 64 hexadecimal digits or 43 characters of base64url; undefined where the text is neither. */
export function decodeKey(text: string): Buffer | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  if (/^[\w-]{43}=?$/.test(text)) return Buffer.from(text, 'base64url');
  return undefined;
}
