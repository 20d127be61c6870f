import { Injectable } from '@nestjs/common';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import rateLimit from '@fastify/rate-limit';
import { Failure } from '../failure.js';

/** Generous on purpose: they stop runaway programs and guessing, and never a first step or a test suite on one machine. */
export interface RateLimits {
  /** Requests a minute from one API key. */
  readonly perKey: number;
  /** Keys a minute that turn out not to be valid, from one address. */
  readonly failedSignIns: number;
}

export const defaultRateLimits: RateLimits = Object.freeze({ perKey: 60_000, failedSignIns: 6_000 });

type Check = ReturnType<FastifyInstance['createRateLimit']>;

/** Counts by the shown part of the key, or by address; `RateLimit` headers (draft-ietf-httpapi-ratelimit-headers) on all. */
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

/** Not the whole key, so that no secret stays in memory; by address too, so that nobody uses up another's allowance. */
function keyOf(request: FastifyRequest): string {
  const shown = /^Bearer +(moo_[a-z0-9]{12})_/i.exec(request.headers.authorization ?? '')?.[1];
  return `${request.ip} ${shown ?? ''}`;
}

/** Slows down whoever presents keys that are not valid, before the store is asked. */
@Injectable()
export class SignInThrottle {
  #check: Check | undefined;

  attach(fastify: FastifyInstance, limits: RateLimits): void {
    this.#check = fastify.createRateLimit({
      max: limits.failedSignIns,
      timeWindow: windowMs,
      keyGenerator: (request) => `sign-in ${request.ip}`,
    });
  }

  /** For keys in the header: who shows none guesses nothing. */
  async guarded<T>(request: FastifyRequest, signIn: () => Promise<T>): Promise<T> {
    return this.slowed(request, request.headers.authorization !== undefined, signIn);
  }

  /** For a secret in the body. */
  async guardedSecret<T>(request: FastifyRequest, signIn: () => Promise<T>): Promise<T> {
    return this.slowed(request, true, signIn);
  }

  private async slowed<T>(request: FastifyRequest, isShown: boolean, signIn: () => Promise<T>): Promise<T> {
    await this.refuseIfExceeded(request, false);
    try {
      return await signIn();
    } catch (error) {
      const isGuess = error instanceof Failure && error.code === 'unauthenticated';
      if (isGuess && isShown) await this.refuseIfExceeded(request, true);
      throw error;
    }
  }

  private async refuseIfExceeded(request: FastifyRequest, increment: boolean): Promise<void> {
    const verdict = await this.#check?.(request, { increment });
    if (verdict === undefined || verdict.isAllowed || !verdict.isExceeded) return;
    throw new RateLimited(verdict.ttlInSeconds);
  }
}

class RateLimited extends Failure {
  constructor(readonly retryAfterS: number) {
    super(
      'rate-limited',
      'Too many keys that are not valid came from this address: wait as long as Retry-After says.',
    );
  }
}

/** Says how long to wait, where the throttle refused; the limit for a whole key says so itself. */
export function retryAfter(reply: FastifyReply, failure: Failure): void {
  if (failure instanceof RateLimited) void reply.header('Retry-After', String(failure.retryAfterS));
}
