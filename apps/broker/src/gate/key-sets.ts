import { type KeySet, readKeySet } from '#access';
import { EgressError, type Egress } from '#process';
import type { DirectoryTokenIssuer } from '#store';

/** Keys that could not be asked for: no judgement on the token. The message is for the tenant. */
export class KeysUnavailableError extends Error {
  override readonly name = 'KeysUnavailableError';
  readonly code = 'token.keys-unavailable';
}

interface Fetched {
  readonly keys: KeySet;
  /** Milliseconds, of a clock that only goes forward. */
  readonly at: number;
}

interface Source {
  fetched: Fetched | undefined;
  fetching: Promise<void> | undefined;
  /** Of the last attempt, right or wrong. */
  triedAt: number;
  why: string;
}

/** In milliseconds. A new key signs before everybody has it, an old one is withdrawn: both within this. */
const freshForMs = 10 * 60_000;
/** While the issuer cannot be reached, its keys of before are believed for so long. */
const usableForMs = 60 * 60_000;
/** Whoever sends tokens of keys that are not there does not make us ask more often than this. */
const betweenTriesMs = 15_000;

const maxSources = 1_000;
const timeoutMs = 3_000;
const maxBytes = 65_536;

/** The public keys of token issuers: fetched when they are needed, kept, and asked for again when a token names a new one. */
export class KeySets {
  readonly #egress: Egress;
  readonly #now: () => number;
  readonly #sources = new Map<string, Source>();

  constructor(egress: Egress, now: () => number = () => performance.now()) {
    this.#egress = egress;
    this.#now = now;
  }

  /** Rejects with KeysUnavailableError. */
  async of(issuer: DirectoryTokenIssuer, tenantId: string): Promise<KeySet> {
    if (issuer.jwksUri === null) return this.#inline(issuer);
    const source = this.#source(issuer);
    const age = this.#age(source);
    // Those of before serve while newer ones come, unless they are too old.
    if (age >= freshForMs) {
      const fetching = this.#refresh(source, issuer.jwksUri, tenantId);
      if (age >= usableForMs) await fetching;
    }
    const { fetched } = source;
    if (fetched === undefined || this.#age(source) >= usableForMs) throw new KeysUnavailableError(source.why);
    return fetched.keys;
  }

  /** After a token has named a key that is not among them. Undefined: nothing newer may be asked for now, or is there. */
  async newer(issuer: DirectoryTokenIssuer, tenantId: string, known: KeySet): Promise<KeySet | undefined> {
    if (issuer.jwksUri === null) return undefined;
    const source = this.#source(issuer);
    await this.#refresh(source, issuer.jwksUri, tenantId);
    const { fetched } = source;
    return fetched === undefined || fetched.keys === known ? undefined : fetched.keys;
  }

  #inline({ id, version, jwks }: DirectoryTokenIssuer): KeySet {
    const key = `${id} ${version}`;
    const source = this.#sources.get(key);
    const keys = source?.fetched?.keys ?? readKeySet(jwks)?.keys;
    if (keys === undefined) throw new KeysUnavailableError('the keys of the issuer cannot be read');
    if (source === undefined) this.#keep(key, { ...unknown(), fetched: { keys, at: 0 } });
    return keys;
  }

  /** By tenant, too: what one makes of an address is nothing to another. A changed issuer starts anew. */
  #source({ id, version }: DirectoryTokenIssuer): Source {
    const key = `${id} ${version}`;
    const known = this.#sources.get(key);
    if (known !== undefined) return known;
    return this.#keep(key, unknown());
  }

  #keep(key: string, source: Source): Source {
    this.#sources.set(key, source);
    if (this.#sources.size > maxSources) {
      for (const oldest of this.#sources.keys()) {
        this.#sources.delete(oldest);
        break;
      }
    }
    return source;
  }

  #age({ fetched }: Source): number {
    return fetched === undefined ? Infinity : this.#now() - fetched.at;
  }

  /** One at a time, and not too often. Never rejects: what came of it is in the source. */
  #refresh(source: Source, url: string, tenantId: string): Promise<void> {
    if (source.fetching !== undefined) return source.fetching;
    if (this.#now() - source.triedAt < betweenTriesMs) return Promise.resolve();
    source.triedAt = this.#now();
    source.fetching = this.#fetch(source, url, tenantId).finally(() => {
      source.fetching = undefined;
    });
    return source.fetching;
  }

  async #fetch(source: Source, url: string, tenantId: string): Promise<void> {
    try {
      const headers = { accept: 'application/json' };
      const { status, body } = await this.#egress.call({ tenantId, url, headers, timeoutMs, maxBytes });
      const keys = status === 200 ? readKeySet(parsed(body))?.keys : undefined;
      if (keys === undefined) source.why = `the address of the keys answers ${status} without usable keys`;
      else source.fetched = { keys, at: this.#now() };
    } catch (error) {
      source.why = error instanceof EgressError ? error.message : 'the keys cannot be fetched';
    }
  }
}

function unknown(): Source {
  return {
    fetched: undefined,
    fetching: undefined,
    triedAt: -Infinity,
    why: 'the keys have not been fetched',
  };
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}
