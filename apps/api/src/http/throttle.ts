import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import rateLimit from '@fastify/rate-limit';
import { Failure } from '../failure.js';
import { turnOf, turnOfStranger, type Access } from './access.js';

/** Generous on purpose: they stop runaway programs and guessing, and never a first step or a test suite on one machine. */
export interface RateLimits {
  /** Requests a minute from one API key. */
  readonly perKey: number;
  /** Keys a minute that turn out not to be valid, from one address. */
  readonly failedSignIns: number;
}

export const defaultRateLimits: RateLimits = Object.freeze({ perKey: 60_000, failedSignIns: 6_000 });

type Check = ReturnType<FastifyInstance['createRateLimit']>;

/** Counts by key, or by address; `RateLimit` headers (draft-ietf-httpapi-ratelimit-headers) on all. */
export async function registerRateLimit(fastify: FastifyInstance, limits: RateLimits): Promise<void> {
  await fastify.register(rateLimit, {
    global: true,
    max: limits.perKey,
    timeWindow: windowMs,
    cache: 20_000,
    enableDraftSpec: true,
    keyGenerator: (request) => keyOf(request),
  });
}

const windowMs = 60_000;

/**
 * The whole key, hashed: who knows how another's begins uses up nothing of its allowance, behind the same proxy neither, and no secret
 * stays in memory. Brokers, which may come from the address of strangers' proxy, have one of their own.
 */
function keyOf({ ip, url, headers: { authorization = '' } }: FastifyRequest): string {
  if (url.startsWith('/internal/')) return `${ip} internal ${markOf(authorization)}`;
  const key = /^Bearer +(moo_[\w-]{1,200})$/i.exec(authorization)?.[1];
  return `${ip} ${key === undefined ? '' : markOf(key)}`;
}

function markOf(authorization: string): string {
  return createHash('sha256').update(authorization).digest('base64');
}

/** Keys in use of an installation: programs, dashboards and people. */
const mostKnown = 10_000;

/** Slows down whoever presents keys that are not valid, before the store is asked. */
@Injectable()
export class SignInThrottle {
  #check: Check | undefined;
  /** Hashes of headers whose key was valid when it was shown last, and whose turn it takes. Used last stands last. */
  readonly #known = new Map<string, string>();

  attach(fastify: FastifyInstance, limits: RateLimits): void {
    this.#check = fastify.createRateLimit({
      max: limits.failedSignIns,
      timeWindow: windowMs,
      keyGenerator: (request) => `sign-in ${request.ip}`,
    });
  }

  /**
   * For keys in a header, or where GraphQL over WebSocket takes them: who shows none guesses nothing. A key that was valid a moment ago is asked about whatever comes from its
   * address: behind a proxy all have one, and a stranger's wrong keys must not shut out everybody's right ones. `signIn` is told
   * whose turn at the store it takes.
   */
  async guarded(
    request: FastifyRequest,
    authorization: string | undefined,
    signIn: (whose: string) => Promise<Access>,
  ): Promise<Access> {
    const stranger = turnOfStranger(request.ip);
    if (authorization === undefined) return this.slowed(request, false, () => signIn(stranger));
    const mark = markOf(authorization);
    const known = this.#known.get(mark);
    try {
      const access = await this.slowed(request, true, () => signIn(known ?? stranger), known !== undefined);
      this.#known.delete(mark);
      this.#known.set(mark, turnOf(access.caller));
      if (this.#known.size > mostKnown) this.forgetOldest();
      return access;
    } catch (error) {
      if (isUnauthenticated(error)) this.#known.delete(mark);
      throw error;
    }
  }

  /** For a secret in the body. */
  async guardedSecret<T>(request: FastifyRequest, signIn: () => Promise<T>): Promise<T> {
    return this.slowed(request, true, signIn);
  }

  private async slowed<T>(
    request: FastifyRequest,
    isShown: boolean,
    signIn: () => Promise<T>,
    isKnown = false,
  ): Promise<T> {
    if (!isKnown) await this.refuseIfExceeded(request, false);
    try {
      return await signIn();
    } catch (error) {
      if (isShown && isUnauthenticated(error)) await this.refuseIfExceeded(request, true);
      throw error;
    }
  }

  private forgetOldest(): void {
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      return;
    }
  }

  private async refuseIfExceeded(request: FastifyRequest, increment: boolean): Promise<void> {
    const verdict = await this.#check?.(request, { increment });
    if (verdict === undefined || verdict.isAllowed || !verdict.isExceeded) return;
    throw new RateLimited(verdict.ttlInSeconds);
  }
}

function isUnauthenticated(error: unknown): boolean {
  return error instanceof Failure && error.code === 'unauthenticated';
}

class RateLimited extends Failure {
  constructor(readonly retryAfterS: number) {
    super(
      'rate-limited',
      'Too many keys that are not valid came from this address: wait as long as Retry-After says.',
    );
  }
}

/** Says how long to wait, where the throttle refused, or the store is away; the limit for a whole key says so itself. */
export function retryAfter(reply: FastifyReply, failure: Failure): void {
  if (failure.code === 'unavailable') void reply.header('Retry-After', '2');
  if (failure instanceof RateLimited) void reply.header('Retry-After', String(failure.retryAfterS));
}
