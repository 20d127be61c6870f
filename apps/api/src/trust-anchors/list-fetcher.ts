import { Inject, Injectable } from '@nestjs/common';
import { maxRevocationListBytes } from '#access';
import { Egress, EgressError, type Logger } from '#process';
import { crlNotFetched, takeDueCrlSources, type ControlStore, type DueCrlSource } from '#store';
import { Failure } from '../failure.js';
import { EGRESS, LOGGER, STORE } from '../injection-tokens.js';
import { TrustAnchorService } from './trust-anchor.service.js';

/** At once, of all tenants. A list takes up to 16 MiB while it is read. */
const mostAtOnce = 4;
const timeoutMs = 15_000;
/** Longer than a fetch and what is stored of it take: if this process dies, another one fetches after that. */
const holdS = 120;

interface Fault {
  readonly code: string;
  readonly message: string;
}

/**
 * Fetches revocation lists from where their authorities publish them, through the egress guard. One fetch serves every broker: what is
 * new is a change of rights like a list that somebody has sent (decision 0011). Of several api processes each takes what no other has.
 */
@Injectable()
export class ListFetcher {
  #running = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(EGRESS) private readonly egress: Egress,
    @Inject(LOGGER) private readonly log: Logger,
    @Inject(TrustAnchorService) private readonly anchors: TrustAnchorService,
  ) {}

  /** Unref'd: it keeps no process alive. A look that fails is taken again with the next. */
  start(everyMs: number): void {
    this.#timer = setInterval(() => {
      this.#look().catch((err: unknown) => this.log.warn('crl.not-looked', { err }));
    }, everyMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const room = mostAtOnce - this.#running;
    if (room <= 0) return;
    const due = await this.store.platform((tx) => takeDueCrlSources(tx, room, holdS));
    for (const source of due) {
      this.#running += 1;
      this.#fetch(source)
        .catch((err: unknown) => this.log.warn('crl.not-noted', { tenantId: source.tenantId, err }))
        .finally(() => (this.#running -= 1));
    }
  }

  async #fetch(source: DueCrlSource): Promise<void> {
    const { tenantId, anchorId, url } = source;
    try {
      await this.anchors.fetched(source, await this.#get(tenantId, url));
    } catch (error) {
      const fault = faultOf(error);
      this.log.info('crl.not-fetched', { tenantId, anchorId, url, code: fault.code });
      if (fault === unexpected) this.log.error('crl.failed', { tenantId, anchorId, err: error });
      await this.store.tenant(tenantId, (tx) => crlNotFetched(tx, source, fault));
    }
  }

  async #get(tenantId: string, url: string): Promise<Buffer> {
    const { status, body } = await this.egress.call({
      tenantId,
      url,
      headers: { accept: 'application/pkix-crl, */*' },
      timeoutMs,
      maxBytes: maxRevocationListBytes,
      // The list is signed, public and dated: whoever sits in between can hold it back, which its nextUpdate shows, and no more.
      schemes: 'https-or-http',
    });
    if (status !== 200) throw new StatusError(status);
    return body;
  }
}

class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly code = 'http-status';

  constructor(status: number) {
    super(`It answered with status ${status}.`);
  }
}

const unexpected: Fault = { code: 'internal', message: 'Something went wrong here.' };

/** What the tenant is told; nothing of it changes what is in force. */
function faultOf(error: unknown): Fault {
  if (error instanceof EgressError || error instanceof StatusError)
    return { code: error.code, message: error.message };
  const [fault] = error instanceof Failure ? error.errors : [];
  if (fault !== undefined) return { code: fault.code, message: fault.message };
  return error instanceof Failure ? { code: error.code, message: error.message } : unexpected;
}
