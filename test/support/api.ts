/** A whole api on a database of its own, spoken to by HTTP, with keys of every kind. */
import { Client } from 'pg';
import { createApi, type Api, type ApiOptions } from '../../apps/api/src/api.js';
import { silentLogger } from '#process';
import { createApiKey, makeApiKey, openControlStore } from '#store';
import { createTestDatabase, type TestDatabase } from './postgres.js';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; undefined where there is none. */
  readonly body: Json;
}

/** Whatever a test expects to find. */
export type Json = ReturnType<typeof JSON.parse>;

export interface Call {
  readonly body?: unknown;
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Speaks with one key, or with none. */
export class ApiClient {
  constructor(
    private readonly url: string,
    readonly key: string | undefined,
  ) {}

  with(key: string | undefined): ApiClient {
    return new ApiClient(this.url, key);
  }

  async call(method: string, path: string, { body, text, headers }: Call = {}): Promise<Answer> {
    const payload = text ?? (body === undefined ? undefined : JSON.stringify(body));
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(this.key === undefined ? {} : { authorization: `Bearer ${this.key}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(payload === undefined ? {} : { body: payload }),
    });
    const answer = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') ?? false;
    return {
      status: response.status,
      headers: response.headers,
      text: answer,
      body: isJson ? JSON.parse(answer) : undefined,
    };
  }

  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Answer> {
    return this.call('GET', path, headers === undefined ? {} : { headers });
  }

  post(path: string, body: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer> {
    return this.call('POST', path, { body, ...(headers === undefined ? {} : { headers }) });
  }

  /** With the tag of what is there now, unless another is given. */
  async patch(path: string, body: unknown, ifMatch?: string): Promise<Answer> {
    return this.call('PATCH', path, { body, headers: { 'if-match': ifMatch ?? (await this.tagOf(path)) } });
  }

  async delete(path: string, ifMatch?: string): Promise<Answer> {
    return this.call('DELETE', path, { headers: { 'if-match': ifMatch ?? (await this.tagOf(path)) } });
  }

  private async tagOf(path: string): Promise<string> {
    return (await this.get(path)).headers.get('etag') ?? '*';
  }
}

export interface TestApi {
  readonly api: Api;
  readonly url: string;
  readonly database: TestDatabase;
  /** With a key of the platform. */
  readonly platform: ApiClient;
  readonly anonymous: ApiClient;
  /** A new tenant, and a client with a key for each of its roles. */
  createTenant(slug: string): Promise<TestTenant>;
  stop(): Promise<void>;
}

export interface TestTenant {
  readonly id: string;
  readonly slug: string;
  /** `/v1/tenants/<slug>` */
  readonly path: string;
  readonly admin: ApiClient;
  readonly operator: ApiClient;
  readonly viewer: ApiClient;
}

/** On a database of its own, unless it is given one; with the api goes the database. */
export async function startTestApi(
  options: Partial<ApiOptions> = {},
  given?: TestDatabase,
): Promise<TestApi> {
  const database = given ?? (await createTestDatabase());
  const { secretKey } = database;
  const key = await firstPlatformKey(database);
  const api = await createApi({ databaseUrl: database.appUrl, secretKey, log: silentLogger(), ...options });
  const url = await api.listen('127.0.0.1', 0);
  const anonymous = new ApiClient(url, undefined);
  const platform = anonymous.with(key);
  return {
    api,
    url,
    database,
    platform,
    anonymous,
    async createTenant(slug) {
      const tenant = await platform.post('/v1/tenants', { slug, name: slug });
      if (tenant.status !== 201) throw new Error(`no tenant: ${tenant.text}`);
      const clientOf = async (role: string): Promise<ApiClient> => {
        const made = await platform.post(`/v1/tenants/${slug}/api-keys`, { name: role, role });
        if (made.status !== 201) throw new Error(`no key: ${made.text}`);
        return platform.with(made.body.key);
      };
      return {
        id: tenant.body.id,
        slug,
        path: `/v1/tenants/${slug}`,
        admin: await clientOf('admin'),
        operator: await clientOf('operator'),
        viewer: await clientOf('viewer'),
      };
    },
    async stop() {
      await api.close();
      await database.drop();
    },
  };
}

async function firstPlatformKey({ appUrl, secretKey }: TestDatabase): Promise<string> {
  const store = openControlStore({ url: appUrl });
  try {
    const made = makeApiKey(secretKey);
    await store.platform((tx) => createApiKey(tx, { name: 'first', role: 'admin', expiresAt: null, made }));
    return made.key;
  } finally {
    await store.close();
  }
}

/** What is really there, whatever row-level security says. */
export async function queryAsSuperuser(
  { superuserUrl }: TestDatabase,
  sql: string,
  values: readonly unknown[] = [],
): Promise<Record<string, Json>[]> {
  const client = new Client({ connectionString: superuserUrl });
  await client.connect();
  try {
    return (await client.query(sql, [...values])).rows;
  } finally {
    await client.end();
  }
}
