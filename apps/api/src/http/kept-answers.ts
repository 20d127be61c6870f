import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from '#process';
import { forgetRequest, keepAnswer, reserveRequest, type ControlStore, type KeptRequest } from '#store';
import { Failure } from '../failure.js';
import { LOGGER, SECRET_KEY, STORE } from '../injection-tokens.js';
import type { Permission } from '../permissions.js';
import type { Access } from './access.js';
import { KeptRoom } from './kept-room.js';

export interface KeptAnswer {
  readonly status: number;
  /** Those that mean something to the client of the second request. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
  /** What whoever gets it again has to be allowed, beside what the edge has asked for before it looks here. */
  readonly rights: readonly Right[];
}

/** Inside a tenant, or of the platform. */
export interface Right {
  readonly tenantId?: string | undefined;
  readonly permission: Permission;
}

/** Who asks, and what the seal is made from. */
export type Asker = Pick<Access, 'caller' | 'scope' | 'holderKey'>;

/** A request under a key that was free. One of the two ends it. */
export interface Reservation {
  /** The work is done and committed: an answer that cannot be kept does not turn it into an error. */
  keep(answer: KeptAnswer): Promise<void>;
  /** Nothing was done: the key is free again. */
  forget(): Promise<void>;
}

/**
 * `Idempotency-Key`: the same key and request get the first answer again, for a day; the same key with another request is refused,
 * and so is one that comes while the first still runs. Only success is kept: a refused request has done nothing, and may succeed
 * when it is sent again. What a tenant keeps has an end (kept-room.ts), and so has one answer: of a larger one it is known that the
 * request was done.
 *
 * The kept answer may hold a secret that is shown once. It is sealed (AES-256-GCM) under a key made from the installation's key and
 * from the presented API key, which is stored nowhere: the rows show nothing to who reads the database, even with the
 * installation's key, and the answer goes only to who got it the first time. The request may hold a password that somebody has chosen:
 * its hash is under such a key, too, or whoever reads the row would guess at it faster than at what is stored for the sign-in.
 */
@Injectable()
export class KeptAnswers {
  readonly #room = new KeptRoom();

  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(SECRET_KEY) private readonly secretKey: Buffer,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  /** The answer that was given before, or a reservation of the key. */
  async reserve(
    request: FastifyRequest,
    asker: Asker,
    key: string | string[],
  ): Promise<KeptAnswer | Reservation> {
    const kept = keptRequest(request, asker, key, this.secretKey);
    const seal = new AnswerSeal(this.secretKey, asker, kept);
    const earlier = await this.store.platform(async (tx) => {
      const found = await reserveRequest(tx, kept);
      if (found === undefined) await this.#room.require(tx, kept.tenantId);
      return found;
    }, whoseTurn(kept));
    if (earlier === undefined) {
      return {
        keep: (answer) => this.keep(kept, answer, seal),
        forget: () => this.forget(kept),
      };
    }
    if (!kept.requestHash.equals(earlier.requestHash)) {
      throw new Failure(
        'idempotency-mismatch',
        'This Idempotency-Key has been used for a different request.',
      );
    }
    if (!earlier.isDone)
      throw new Failure('idempotency-in-progress', 'The first request with this Idempotency-Key still runs.');
    if (earlier.answer === undefined) {
      throw new Failure(
        'idempotency-not-kept',
        'The request with this Idempotency-Key has been done, and its answer was too large to be kept.',
      );
    }
    return seal.open(earlier.answer);
  }

  /** What the client is told is why its request failed; a key that stays taken is free again after a minute. */
  private async forget(kept: KeptRequest): Promise<void> {
    try {
      await this.store.platform((tx) => forgetRequest(tx, kept), whoseTurn(kept));
    } catch (err) {
      this.log.warn('idempotency.key-not-freed', { actor: kept.scope, err });
    }
  }

  private async keep(kept: KeptRequest, answer: KeptAnswer, seal: AnswerSeal): Promise<void> {
    const { status, rights } = answer;
    const tenantId = kept.tenantId ?? rights.find((right) => right.tenantId !== undefined)?.tenantId ?? null;
    try {
      const sealed = seal.close(answer);
      await this.store.platform(
        (tx) => keepAnswer(tx, { ...kept, tenantId }, status, sealed),
        whoseTurn(kept),
      );
      this.#room.taken(tenantId, sealed?.length ?? 0);
    } catch (err) {
      this.log.warn('idempotency.answer-not-kept', { actor: kept.scope, err });
    }
  }
}

/** Status and headers of the first answer; its body is for the caller to send. */
export function replay({ status, headers, body }: KeptAnswer, reply: FastifyReply): unknown {
  void reply.status(status).headers(headers).header('Idempotent-Replayed', 'true');
  return body;
}

function keptRequest(
  request: FastifyRequest,
  access: Asker,
  key: string | string[],
  secretKey: Buffer,
): KeptRequest {
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
  const requestHash = createHmac('sha256', ownKey(secretKey, access, 'moorage idempotency request'))
    .update(`${request.method} ${request.url}\n${request.headers['content-type'] ?? ''}\n`)
    .update(body)
    .digest();
  const tenantId = access.scope?.tenantId ?? access.caller.tenantId ?? null;
  return { scope: access.caller.actor, key, tenantId, requestHash };
}

/** Undefined: the platform's own. */
function whoseTurn({ tenantId }: KeptRequest): string | undefined {
  return tenantId ?? undefined;
}

function ownKey(secretKey: Buffer, { holderKey }: Asker, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', holderKey, secretKey, purpose, 32));
}

/** Bytes. An upload of 10 000 devices, 500 of them with passwords that are shown once, is answered with less. */
const largestAnswer = 4 * 1024 * 1024;

class AnswerSeal {
  readonly #key: Buffer;
  readonly #context: Buffer;

  constructor(secretKey: Buffer, access: Asker, kept: KeptRequest) {
    this.#key = ownKey(secretKey, access, 'moorage idempotency');
    this.#context = Buffer.from(`${kept.scope}\n${kept.key}`);
  }

  /** Undefined: it is too large. */
  close(answer: KeptAnswer): Buffer | undefined {
    const text = JSON.stringify(answer);
    if (Buffer.byteLength(text) > largestAnswer) return undefined;
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(this.#context);
    const sealed = Buffer.concat([cipher.update(text), cipher.final()]);
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
