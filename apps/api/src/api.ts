import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { createReadiness, Egress, type EgressOptions, type Logger, type Readiness } from '#process';
import { keepHouse, openControlStore, type ControlStore } from '#store';
import { ApiModule } from './api.module.js';
import { createAdapter } from './http/fastify.js';
import { serveDocumentation } from './http/openapi.js';
import { refuseOtherMethods, type Route } from './http/other-methods.js';
import { defaultRateLimits, registerRateLimit, SignInThrottle, type RateLimits } from './http/throttle.js';
import type { Endpoints } from './provisioning/claim.service.js';
import { nestLogger } from './nest-logger.js';
import { ListFetcher } from './trust-anchors/list-fetcher.js';

export interface ApiOptions {
  /** With the role moorage_app. */
  readonly databaseUrl: string;
  readonly secretKey: Buffer;
  readonly log: Logger;
  readonly rateLimits?: RateLimits;
  /** What devices are told of the broker; where it listens by default. */
  readonly endpoints?: Endpoints;
  readonly egress?: EgressOptions;
  /** How often it is looked for revocation lists to be fetched. */
  readonly lookForListsEveryMs?: number;
}

export interface Api {
  readonly app: NestFastifyApplication;
  /** What is served, as Fastify has it: `:name` stands for a parameter. */
  readonly routes: readonly Route[];
  /** Port 0 takes a free one; resolves to the address it listens on, e.g. `http://127.0.0.1:3000`. */
  listen(host: string, port: number): Promise<string>;
  /** Not ready, no new connections, requests finished, store closed. */
  close(): Promise<void>;
}

/** The whole api, ready to listen; rejects where the fences between tenants are not all up. */
export async function createApi(options: ApiOptions): Promise<Api> {
  const { databaseUrl, secretKey, log } = options;
  const store = openControlStore({
    url: databaseUrl,
    onConnectionError: (err) => log.warn('store.connection-lost', { err }),
  });
  const readiness = createReadiness();
  let looking: Promise<void> | undefined;
  const egress = new Egress(options.egress);
  try {
    await store.verifyFences();
    const adapter = createAdapter(log);
    const fastify = adapter.getInstance<FastifyInstance>();
    const rateLimits = options.rateLimits ?? defaultRateLimits;
    const routes: Route[] = [];
    fastify.addHook('onRoute', ({ method, url }) => {
      for (const name of [method].flat()) routes.push({ method: name, url });
    });
    await registerRateLimit(fastify, rateLimits);
    const parts = {
      endpoints: options.endpoints ?? { mqttsPort: 8883, wssPort: 8084 },
      store,
      secretKey,
      log,
      egress,
      readiness: async () => {
        // Anybody may ask, outside the store's turns: once for all who do at the same time.
        looking ??= lookAt(store, readiness).finally(() => (looking = undefined));
        await looking;
        return readiness.report();
      },
    };
    const app = await NestFactory.create<NestFastifyApplication>(ApiModule.with(parts), adapter, {
      bodyParser: false,
      abortOnError: false,
      logger: nestLogger(log),
    });
    app.get(SignInThrottle).attach(fastify, rateLimits);
    serveDocumentation(app);
    await app.init();
    const served = [...routes];
    refuseOtherMethods(fastify, served);
    await fastify.ready();
    // Unref'd: it keeps no process alive. A sweep that fails is tried again with the next; nothing depends on it.
    const sweeping = setInterval(() => {
      keepHouse(store).catch((err: unknown) => log.warn('store.not-swept', { err }));
    }, sweepEveryMs).unref();
    const lists = app.get(ListFetcher);
    lists.start(options.lookForListsEveryMs ?? lookForListsEveryMs);
    return {
      app,
      routes: served,
      async listen(host, port) {
        await app.listen(port, host);
        return app.getUrl();
      },
      async close() {
        readiness.notReady('process', 'stopping');
        clearInterval(sweeping);
        lists.stop();
        await app.close();
        egress.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Codes, for anybody may ask: what PostgreSQL says of itself is not told. */
async function lookAt(store: ControlStore, readiness: Readiness): Promise<void> {
  try {
    await store.check();
    readiness.ready('store');
    if ((await store.missingMigrations()).length === 0) readiness.ready('schema');
    else readiness.notReady('schema', 'schema.behind');
  } catch {
    readiness.notReady('store', 'store.unavailable');
  }
}

/** Kept answers live for a day, changes for a month; an hour more does no harm. */
const sweepEveryMs = 3_600_000;

/** One look-up by an index; a place that was just named is asked within seconds. */
const lookForListsEveryMs = 3_000;
