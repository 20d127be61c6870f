import { createHmac } from 'node:crypto';

import { z } from 'zod';

import { unseal } from '#access';
import { Reasons, type Refusal, type SignIn } from '#mqtt';
import { type Egress, EgressError, type Logger } from '#process';
import type { Directory, DirectoryAuthenticator, DirectoryEntry } from '#store';

import { type Holder, type Proof, refuse } from './proof.js';

/** What is asked, as JSON, by POST. Signed: `Moorage-Signature: t=<seconds>,v1=<HMAC-SHA-256 of "t.body", hexadecimal>`. */
interface Question {
  readonly version: 1;
  readonly tenant: string;
  readonly username: string;
  readonly authId: string;
  /** Base64: it may be anything. */
  readonly password: string;
  readonly clientId: string;
  readonly protocolVersion: number;
  readonly transport: string;
  readonly remoteAddress: string;
  readonly serverName?: string | undefined;
}

/** `authId`: another credential of the kind `external` that the client is to be. `expiresAt`: the connection ends then. */
const answerSchema = z.discriminatedUnion('decision', [
  z.object({
    decision: z.literal('allow'),
    authId: z.string().min(1).max(200).optional(),
    expiresAt: z.iso.datetime({ offset: true }).optional(),
  }),
  z.object({ decision: z.literal('deny'), reason: z.string().max(200).optional() }),
]);
type Verdict = z.output<typeof answerSchema>;

/** Failures in a row that open the circuit, and for how long. */
const failuresToOpen = 5;
const openForMs = 10_000;

const maxAnswerBytes = 4_096;
const maxCircuits = 10_000;

interface Circuit {
  failures: number;
  /** Nobody is asked before. */
  openUntil: number;
  running: number;
}

/**
 * A tenant's own service, asked who somebody is: at CONNECT alone, for credentials of the kind `external`, and never for a
 * right: it says that the client is the holder of a credential that exists, or that it is not. Whatever goes wrong is nobody's
 * proof: no answer in time, no answer at all, one that cannot be read, or too many questions.
 */
export class Authenticators {
  readonly #directory: Directory;
  readonly #egress: Egress;
  readonly #secretKey: Buffer;
  readonly #now: () => number;
  readonly #log: Logger;
  readonly #circuits = new Map<string, Circuit>();

  constructor(directory: Directory, egress: Egress, secretKey: Buffer, now: () => number, log: Logger) {
    this.#directory = directory;
    this.#egress = egress;
    this.#secretKey = secretKey;
    this.#now = now;
    this.#log = log;
  }

  async verify(entry: DirectoryEntry, holder: Holder, request: SignIn): Promise<Proof | Refusal> {
    const { tenant } = entry;
    const authenticator = await this.#directory.findAuthenticator(tenant.id);
    if (authenticator?.isEnabled !== true) {
      return refuse(Reasons.badUserNameOrPassword, 'authenticator: there is none', entry);
    }
    const verdict = await this.#ask(entry, holder, authenticator, request);
    if ('kind' in verdict) return verdict;
    if (verdict.decision === 'deny') {
      const why = verdict.reason === undefined ? 'denied' : `denied: ${printable(verdict.reason)}`;
      return refuse(Reasons.badUserNameOrPassword, `authenticator: ${why}`, entry);
    }
    const until = verdict.expiresAt === undefined ? undefined : Date.parse(verdict.expiresAt);
    const { authId = holder.credential.authId } = verdict;
    const named =
      authId === holder.credential.authId ? entry : await this.#directory.findByName(tenant.slug, authId);
    if (named?.holder?.credential.kind !== 'external') {
      const detail = 'authenticator: it names a credential that is not its to name';
      return refuse(Reasons.badUserNameOrPassword, detail, entry);
    }
    return {
      kind: 'proof',
      entry: named,
      holder: named.holder,
      until,
      voucher: { kind: 'authenticator', until },
    };
  }

  /** For somebody who is in: nobody vouches any more. */
  async review(entry: DirectoryEntry): Promise<Refusal | undefined> {
    const authenticator = await this.#directory.findAuthenticator(entry.tenant.id);
    if (authenticator?.isEnabled === true) return undefined;
    return refuse(Reasons.notAuthorized, 'authenticator: there is none', entry);
  }

  async #ask(
    entry: DirectoryEntry,
    { credential }: Holder,
    authenticator: DirectoryAuthenticator,
    request: SignIn,
  ): Promise<Verdict | Refusal> {
    const circuit = this.#circuit(`${entry.tenant.id} ${authenticator.version}`);
    const unavailable = (why: string): Refusal =>
      refuse(Reasons.serverUnavailable, `authenticator: ${why}`, entry);
    const isHalfOpen = circuit.failures >= failuresToOpen && circuit.running > 0;
    if (circuit.openUntil > this.#now() || isHalfOpen)
      return unavailable('not asked, it has failed too often');
    if (circuit.running >= authenticator.maxConcurrent)
      return unavailable('too many questions are under way');
    circuit.running += 1;
    try {
      const verdict = await this.#send(questionOf(entry, credential.authId, request), entry, authenticator);
      circuit.failures = 0;
      return verdict;
    } catch (error) {
      circuit.failures += 1;
      // The first one after that tries again, alone.
      if (circuit.failures >= failuresToOpen) circuit.openUntil = this.#now() + openForMs;
      const why = error instanceof EgressError ? error.message : 'its answer cannot be read';
      this.#log.debug('authenticator.failed', { tenant: entry.tenant.slug, why });
      return unavailable(why);
    } finally {
      circuit.running -= 1;
    }
  }

  async #send(
    question: Question,
    { tenant }: DirectoryEntry,
    { url, sealedSecret, timeoutMs }: DirectoryAuthenticator,
  ): Promise<Verdict> {
    const place = { purpose: authenticatorSeal, place: [tenant.id] };
    const secret = unseal(this.#secretKey, place, sealedSecret);
    const body = JSON.stringify(question);
    const at = Math.floor(this.#now() / 1_000);
    const signature = createHmac('sha256', secret).update(`${at}.${body}`).digest('hex');
    const { status, body: answer } = await this.#egress.call({
      tenantId: tenant.id,
      url,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        'moorage-signature': `t=${at},v1=${signature}`,
      },
      body,
      timeoutMs,
      maxBytes: maxAnswerBytes,
    });
    if (status !== 200) throw new UnreadableAnswerError(`status ${status}`);
    return answerSchema.parse(JSON.parse(answer.toString('utf8')));
  }

  #circuit(key: string): Circuit {
    const known = this.#circuits.get(key);
    if (known !== undefined) return known;
    const made: Circuit = { failures: 0, openUntil: 0, running: 0 };
    if (this.#circuits.size >= maxCircuits) this.#circuits.clear();
    this.#circuits.set(key, made);
    return made;
  }
}

/** What the api seals the secret for. */
const authenticatorSeal = 'authenticator';

class UnreadableAnswerError extends Error {
  override readonly name = 'UnreadableAnswerError';
  readonly code = 'authenticator.unreadable-answer';
}

function questionOf({ tenant }: DirectoryEntry, authId: string, request: SignIn): Question {
  const { password, clientId, protocolVersion, transport, remoteAddress, serverName } = request;
  return {
    version: 1,
    tenant: tenant.slug,
    username: `${authId}@${tenant.slug}`,
    authId,
    password: (password ?? Buffer.alloc(0)).toString('base64'),
    clientId,
    protocolVersion,
    transport,
    remoteAddress,
    serverName,
  };
}

/** It goes into the tenant's denials. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?');
}
