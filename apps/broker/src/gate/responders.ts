import { type Certificate, maxOcspAnswerBytes, type OcspAnswer, ocspQuestion, readOcspAnswer } from '#access';
import type { CertificateProof } from '#mqtt';
import { type Egress, EgressError, WorkQueue } from '#process';

/** Of an anchor whose responder is to be asked. */
export interface Responder {
  readonly authority: Certificate;
  /** Whether its silence lets in. */
  readonly mode: 'soft' | 'hard';
  /** Tenants take turns: those whose responder is slow wait for themselves. */
  readonly tenantId: string;
  /** Undefined: where the certificate says. */
  readonly url: string | undefined;
}

/** What its responder says of a certificate; `until`: when it has to be asked again. */
export type Standing =
  | { readonly fault: undefined; readonly until: number | undefined }
  | { readonly fault: 'revoked' | 'revocation-unknown'; readonly why: string | undefined };

interface Source {
  answer: OcspAnswer | undefined;
  asking: Promise<void> | undefined;
  /** Of the last attempt, right or wrong. */
  triedAt: number;
  why: string;
}

/** In milliseconds. Whoever comes again and again does not make us ask more often than this what has no answer. */
const betweenTriesMs = 15_000;
/** Of somebody whom the silence of a responder has let in. */
const reviewAfterMs = 5 * 60_000;
const timeoutMs = 3_000;

const maxConcurrent = 32;
/** A fleet that comes back after a night has as many questions as it has devices. */
const maxWaiting = 5_000;
const maxSources = 50_000;

const question = { 'content-type': 'application/ocsp-request', accept: 'application/ocsp-response' };

/** Asks authorities' responders (OCSP) about certificates that clients show. An answer is kept until it says that it is over. */
export class Responders {
  readonly #egress: Egress;
  readonly #now: () => number;
  readonly #sources = new Map<string, Source>();
  readonly #queue = new WorkQueue(maxConcurrent, maxWaiting);

  constructor(egress: Egress, now: () => number) {
    this.#egress = egress;
    this.#now = now;
  }

  /** Never rejects: who cannot be asked is silent. */
  async standingOf(proof: CertificateProof, responder: Responder): Promise<Standing> {
    const url = responder.url ?? proof.responderUrl;
    if (url === undefined) return this.#silent(responder, 'the certificate names no responder', undefined);
    const source = this.#source(`${proof.anchorId ?? ''} ${proof.serial} ${url}`);
    if (!this.#isCurrent(source)) await this.#ask(source, url, proof.serial, responder);
    const { answer } = source;
    if (answer === undefined || !this.#isCurrent(source)) {
      return this.#silent(responder, source.why, this.#now() + reviewAfterMs);
    }
    switch (answer.status) {
      case 'good':
        return { fault: undefined, until: answer.until };
      case 'revoked':
        return { fault: 'revoked', why: undefined };
      case 'unknown':
        return { fault: 'revocation-unknown', why: 'the responder does not know the certificate' };
    }
  }

  #silent({ mode }: Responder, why: string, until: number | undefined): Standing {
    return mode === 'soft' ? { fault: undefined, until } : { fault: 'revocation-unknown', why };
  }

  #isCurrent({ answer }: Source): boolean {
    return answer !== undefined && this.#now() < answer.until;
  }

  #source(key: string): Source {
    const known = this.#sources.get(key);
    // Used last stands last; the one not used for longest goes first.
    if (known !== undefined) this.#sources.delete(key);
    const source = known ?? { answer: undefined, asking: undefined, triedAt: -Infinity, why: '' };
    this.#sources.set(key, source);
    if (this.#sources.size > maxSources) {
      for (const oldest of this.#sources.keys()) {
        this.#sources.delete(oldest);
        break;
      }
    }
    return source;
  }

  /** Once for all who want to know the same. */
  #ask(source: Source, url: string, serial: string, responder: Responder): Promise<void> {
    if (source.asking !== undefined) return source.asking;
    if (this.#now() - source.triedAt < betweenTriesMs) return Promise.resolve();
    source.why = 'too many questions are waiting for responders';
    const asking = this.#queue.run(async () => {
      source.triedAt = this.#now();
      const answer = await this.#call(url, serial, responder);
      if (typeof answer === 'string') source.why = answer;
      else source.answer = answer;
    }, responder.tenantId);
    source.asking = asking.finally(() => {
      source.asking = undefined;
    });
    return source.asking;
  }

  /** Text: why there is no answer. */
  async #call(url: string, serial: string, { authority, tenantId }: Responder): Promise<OcspAnswer | string> {
    const subject = { authority, serial };
    try {
      const { status, body } = await this.#egress.call({
        tenantId,
        url,
        method: 'POST',
        headers: question,
        body: ocspQuestion(subject),
        timeoutMs,
        maxBytes: maxOcspAnswerBytes,
        schemes: 'https-or-http',
      });
      if (status !== 200) return `the responder answers ${status}`;
      const answer = readOcspAnswer(body, subject, this.#now());
      return typeof answer === 'string' ? `the answer of the responder is ${answer}` : answer;
    } catch (error) {
      return error instanceof EgressError ? error.message : 'the responder cannot be asked';
    }
  }
}
