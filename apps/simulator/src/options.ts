import { parseArgs } from 'node:util';

export type TransportName = 'tcp' | 'tls' | 'ws' | 'wss';

export interface Options {
  readonly devices: number;
  /** Readings a second from each device. */
  readonly rate: number;
  readonly durationS: number;
  readonly qos: 0 | 1 | 2;
  readonly transport: TransportName;
  readonly seed: number;
  /** Simulated seconds a second: with 1440 a day passes in a minute. */
  readonly speed: number;
  /** False: nothing goes wrong on purpose. */
  readonly faults: boolean;
  /** The bootstrap.json of the installation. */
  readonly bootstrapFile: string;
  readonly tenant: string | undefined;
  readonly key: string | undefined;
}

export const usage = `npm run simulate -- [options]

  --devices N        how many (default 100)
  --rate N           readings a second from each (default 1)
  --duration S       seconds (default 60)
  --qos 0|1|2        default 1
  --transport T      tcp, tls, ws or wss (default tcp)
  --seed N           the same seed, the same fleet and faults (default: chosen, and printed)
  --speed N          simulated seconds a second; 1440 passes a day in a minute (default 1)
  --no-faults        no outages and no dying devices
  --bootstrap FILE   of the installation (default <MOORAGE_DATA_DIR or .moorage>/bootstrap.json)
  --tenant SLUG      default: the demo tenant of the bootstrap file
  --key KEY          an administrator's API key (default: the bootstrap file's)`;

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Throws UsageError for anything that cannot be meant. `usage` says what can. */
export function readOptions(args: readonly string[], env: NodeJS.ProcessEnv): Options | 'help' {
  const values = parse(args);
  if (values.help === true) return 'help';
  return {
    devices: whole('--devices', values.devices ?? '100', 1, 20_000),
    rate: number('--rate', values.rate ?? '1', 0.001, 1_000),
    durationS: number('--duration', values.duration ?? '60', 1, 30 * 24 * 3600),
    qos: oneOf('--qos', values.qos ?? '1', ['0', '1', '2']) === '0' ? 0 : values.qos === '2' ? 2 : 1,
    transport: oneOf('--transport', values.transport ?? 'tcp', ['tcp', 'tls', 'ws', 'wss']),
    seed: whole('--seed', values.seed ?? String(Math.floor(Math.random() * 1e9)), 0, 2 ** 32 - 1),
    speed: number('--speed', values.speed ?? '1', 0.001, 1e6),
    faults: values['no-faults'] !== true,
    bootstrapFile: values.bootstrap ?? `${env['MOORAGE_DATA_DIR'] ?? '.moorage'}/bootstrap.json`,
    tenant: values.tenant,
    key: values.key,
  };
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        devices: text,
        rate: text,
        duration: text,
        qos: text,
        transport: text,
        seed: text,
        speed: text,
        'no-faults': flag,
        bootstrap: text,
        tenant: text,
        key: text,
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function number(name: string, text: string, low: number, high: number): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= low && value <= high) return value;
  throw new UsageError(`${name}: '${text}' is not a number from ${low} to ${high}`);
}

function whole(name: string, text: string, low: number, high: number): number {
  const value = number(name, text, low, high);
  if (Number.isInteger(value)) return value;
  throw new UsageError(`${name}: '${text}' is not a whole number`);
}

function oneOf<T extends string>(name: string, text: string, choices: readonly T[]): T {
  const choice = choices.find((known) => known === text);
  if (choice !== undefined) return choice;
  throw new UsageError(`${name}: '${text}' is none of ${choices.join(', ')}`);
}
