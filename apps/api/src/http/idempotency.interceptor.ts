import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import {
  Inject,
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { catchError, from, mergeMap, type Observable } from 'rxjs';
import type { Logger } from '#process';
import { forgetRequest, keepAnswer, reserveRequest, type ControlStore, type KeptRequest } from '#store';
import { Failure } from '../failure.js';
import { LOGGER, SECRET_KEY, STORE } from '../tokens.js';
import type { Access } from './access.js';

/** Headers of the first answer that mean something to the client of the second. */
const replayedHeaders = ['location', 'etag', 'operation-location'] as const;

interface KeptAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/**
 * `Idempotency-Key` on POST: the same key and request get the first answer again, for a day; the same key with another
 * request is refused, and so is one that comes while the first still runs. Only success is kept: a refused request has done
 * nothing, and may succeed when it is sent again.
 *
 * The kept answer may hold a secret that is shown once. It is sealed (AES-256-GCM) under a key made from the installation's
 * key and from the presented API key, which is stored nowhere: the rows show nothing to who reads the database, even with
 * the installation's key, and the answer goes only to who got it the first time.
 */
@Injectable()
export class IdempotencyInterceptor implements NestInterceptor {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(SECRET_KEY) private readonly secretKey: Buffer,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    if (context.getType() !== 'http') return next.handle();
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    const key = request.headers['idempotency-key'];
    if (request.method !== 'POST' || key === undefined || request.access === undefined) return next.handle();
    const kept = keptRequest(request, request.access, key);
    const seal = new AnswerSeal(this.secretKey, request.access, kept);
    const earlier = await this.store.platform((tx) => reserveRequest(tx, kept));
    if (earlier !== undefined) return from([this.replay(earlier, kept, seal, reply)]);
    return next.handle().pipe(
      mergeMap(async (body: unknown) => {
        const answer = answerOf(reply, body);
        await this.keep(kept, answer.status, seal.close(answer));
        return body;
      }),
      catchError(async (error: unknown) => {
        await this.forget(kept);
        throw error;
      }),
    );
  }

  private replay(
    earlier: { readonly requestHash: Uint8Array; readonly answer: Uint8Array | undefined },
    kept: KeptRequest,
    seal: AnswerSeal,
    reply: FastifyReply,
  ): unknown {
    if (!kept.requestHash.equals(earlier.requestHash)) {
      throw new Failure(
        'idempotency-mismatch',
        'This Idempotency-Key has been used for a different request.',
      );
    }
    if (earlier.answer === undefined) {
      throw new Failure('idempotency-in-progress', 'The first request with this Idempotency-Key still runs.');
    }
    const { status, headers, body } = seal.open(earlier.answer);
    void reply.status(status).headers(headers).header('Idempotent-Replayed', 'true');
    return body;
  }

  /** What the client is told is why its request failed; a key that stays taken is free again after a minute. */
  private async forget(kept: KeptRequest): Promise<void> {
    try {
      await this.store.platform((tx) => forgetRequest(tx, kept));
    } catch (err) {
      this.log.warn('idempotency.key-not-freed', { actor: kept.scope, err });
    }
  }

  /** The work is done and committed: an answer that cannot be kept must not turn it into an error. */
  private async keep(kept: KeptRequest, status: number, answer: Buffer): Promise<void> {
    try {
      await this.store.platform((tx) => keepAnswer(tx, kept, status, answer));
    } catch (err) {
      this.log.warn('idempotency.answer-not-kept', { actor: kept.scope, err });
    }
  }
}

function keptRequest(request: FastifyRequest, access: Access, key: string | string[]): KeptRequest {
  if (Array.isArray(key) || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new Failure('malformed', 'Idempotency-Key is 1 to 255 visible ASCII characters.', [
      {
        in: 'header',
        pointer: '#/Idempotency-Key',
        code: 'invalid',
        message: '1 to 255 visible ASCII characters',
      },
    ]);
  }
  const body = typeof request.body === 'string' ? request.body : JSON.stringify(request.body ?? null);
  const requestHash = createHash('sha256')
    .update(`${request.method} ${request.url}\n${request.headers['content-type'] ?? ''}\n`)
    .update(body)
    .digest();
  return { scope: access.caller.actor, key, tenantId: access.scope?.tenantId ?? null, requestHash };
}

function answerOf(reply: FastifyReply, body: unknown): KeptAnswer {
  const headers = replayedHeaders.flatMap((name) => {
    const value = reply.getHeader(name);
    return typeof value === 'string' ? [[name, value] as const] : [];
  });
  return {
    status: reply.statusCode,
    headers: Object.fromEntries(headers),
    body,
  };
}

class AnswerSeal {
  readonly #key: Buffer;
  readonly #context: Buffer;

  constructor(secretKey: Buffer, access: Access, kept: KeptRequest) {
    this.#key = Buffer.from(hkdfSync('sha256', access.holderKey, secretKey, 'moorage idempotency', 32));
    this.#context = Buffer.from(`${kept.scope}\n${kept.key}`);
  }

  close(answer: KeptAnswer): Buffer {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(this.#context);
    const sealed = Buffer.concat([cipher.update(JSON.stringify(answer)), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), sealed]);
  }

  open(sealed: Uint8Array): KeptAnswer {
    const bytes = Buffer.from(sealed);
    const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, 12))
      .setAAD(this.#context)
      .setAuthTag(bytes.subarray(12, 28));
    const text = Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString();
    return JSON.parse(text) as KeptAnswer;
  }
}
