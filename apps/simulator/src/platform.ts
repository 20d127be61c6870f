import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { z } from 'zod';
import type { Endpoint } from './connection.js';
import type { Identity } from './device.js';
import { UsageError, type Options } from './options.js';
import { SequenceSet } from './sequence-set.js';

const place = z.object({ host: z.string(), port: z.number(), ca: z.string().optional() });
const bootstrap = z.object({
  api: z.string(),
  adminKey: z.string(),
  tenant: z.string(),
  mqtt: place,
  mqtts: place,
  ws: place,
  wss: place,
});
export type Bootstrap = z.infer<typeof bootstrap>;

const bulkAnswer = z.object({
  rows: z.array(z.object({ name: z.string().nullable(), outcome: z.string(), id: z.string().optional() })),
});
const credentialAnswer = z.object({ username: z.string(), password: z.string() });
const telemetryPage = z.object({
  items: z.array(z.object({ body: z.unknown() })),
  next: z.string().nullable(),
});
const presencePage = z.object({
  items: z.array(
    z.object({ clientId: z.string(), state: z.string(), cause: z.string(), will: z.string().nullable() }),
  ),
  next: z.string().nullable(),
});
const reading = z.object({ seq: z.number() });

export type PresenceRow = z.infer<typeof presencePage>['items'][number];

export interface StoredReadings {
  readonly rows: number;
  readonly sequences: SequenceSet;
}

/** The product, seen through its REST API and by an administrator of one tenant. */
export interface Platform {
  /** Registers devices of these names, each with a password of its own. */
  provision(names: readonly string[]): Promise<Identity[]>;
  storedReadings(deviceId: string): Promise<StoredReadings>;
  /** Of all clients of the tenant, by client identifier. */
  presence(): Promise<Map<string, PresenceRow>>;
}

/** Requests under way at a time. */
const concurrency = 16;
const pageSize = 200;
const uploadRows = 5_000;

export async function readBootstrap(file: string): Promise<Bootstrap> {
  try {
    return bootstrap.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (cause) {
    throw new UsageError(`${file} cannot be read: is Moorage running? (npm start, or --bootstrap FILE)`, {
      cause,
    });
  }
}

export async function endpointFor({ transport }: Options, places: Bootstrap): Promise<Endpoint> {
  const {
    host,
    port,
    ca: caFile,
  } = places[transport === 'tcp' ? 'mqtt' : transport === 'tls' ? 'mqtts' : transport];
  const ca = caFile === undefined ? undefined : await readFile(caFile);
  const secureContext = transport === 'tls' ? createSecureContext(ca === undefined ? {} : { ca }) : undefined;
  return { transport, host, port, secureContext, ca };
}

/** The api is not there, or has said no: most likely the key or the tenant is wrong. */
export class PlatformError extends Error {
  override readonly name = 'PlatformError';
}

export function openPlatform(api: string, tenant: string, key: string): Platform {
  const base = `${api}/v1/tenants/${tenant}`;

  async function call(
    path: string,
    init: { method?: string; type?: string; body?: string } = {},
  ): Promise<unknown> {
    for (;;) {
      const response = await fetch(base + path, {
        method: init.method ?? 'GET',
        headers: {
          authorization: `Bearer ${key}`,
          ...(init.type === undefined ? {} : { 'content-type': init.type }),
        },
        ...(init.body === undefined ? {} : { body: init.body }),
      }).catch((cause: unknown) => {
        throw new PlatformError(`${api} cannot be reached: is Moorage running?`, { cause });
      });
      const text = await response.text();
      if (response.ok) return JSON.parse(text);
      if (response.status !== 429)
        throw new PlatformError(`${init.method ?? 'GET'} ${base}${path}: ${response.status} ${text}`);
      await pause(Number(response.headers.get('retry-after') ?? '1') * 1000);
    }
  }

  async function createDevices(names: readonly string[]): Promise<Map<string, string>> {
    const ids = new Map<string, string>();
    for (let start = 0; start < names.length; start += uploadRows) {
      const body = names
        .slice(start, start + uploadRows)
        .map((name) => JSON.stringify({ name }))
        .join('\n');
      const answer = bulkAnswer.parse(
        await call('/devices/bulk', { method: 'POST', type: 'application/x-ndjson', body }),
      );
      for (const { name, id, outcome } of answer.rows) {
        if (name === null || id === undefined) throw new Error(`device ${name ?? '?'} was ${outcome}`);
        ids.set(name, id);
      }
    }
    return ids;
  }

  return {
    async provision(names) {
      const ids = [...(await createDevices(names))];
      return inParallel(ids, async ([name, id]) => {
        const answer = await call(`/devices/${id}/credentials`, {
          method: 'POST',
          type: 'application/json',
          body: '{}',
        });
        return { id, name, ...credentialAnswer.parse(answer) };
      });
    },

    async storedReadings(deviceId) {
      const sequences = new SequenceSet();
      let rows = 0;
      let after = '';
      do {
        const page = telemetryPage.parse(
          await call(`/devices/${deviceId}/telemetry?order=oldest&limit=${pageSize}${after}`),
        );
        for (const { body } of page.items) sequences.add(reading.parse(body).seq);
        rows += page.items.length;
        after = page.next === null ? '' : `&after=${encodeURIComponent(page.next)}`;
      } while (after !== '');
      return { rows, sequences };
    },

    async presence() {
      const rows = new Map<string, PresenceRow>();
      let after = '';
      do {
        const page = presencePage.parse(await call(`/presence?limit=${pageSize}${after}`));
        for (const row of page.items) rows.set(row.clientId, row);
        after = page.next === null ? '' : `&after=${encodeURIComponent(page.next)}`;
      } while (after !== '');
      return rows;
    },
  };
}

/** In the order of the items, a few at a time. */
export async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Map<number, R>();
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) results.set(index, await work(item));
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return items.flatMap((_, index) => {
    const result = results.get(index);
    return result === undefined ? [] : [result];
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
