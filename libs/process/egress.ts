/**
 * Calls to addresses that tenants name: keys of token issuers, authenticators, responders (OCSP), revocation lists. A tenant must not reach what
 * only the operator may, so every address that a name stands for is checked, and the connection goes to one of those that
 * were checked: nobody is asked a second time in between. Nothing is followed, sent or read beyond what the caller allows.
 */
import { Resolver } from 'node:dns/promises';
import { Agent as HttpAgent, request as requestHttp, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { type BlockList, isIP, isIPv6, type LookupFunction } from 'node:net';

import { isPublicAddress, rangesOf } from './public-address.js';

export type EgressFault =
  | 'egress.url' // not one that may be called: scheme, credentials in it, no host
  | 'egress.address' // it leads to an address that is not public, and that the operator has not allowed
  | 'egress.unresolved' // the name stands for no address
  | 'egress.unreachable' // no connection, no TLS, or cut off
  | 'egress.timeout'
  | 'egress.too-large'
  | 'egress.redirect'
  | 'egress.busy'; // too many calls are under way, of this tenant's or of all

/** The message is for the tenant, too: it tells nothing of the operator's network. */
export class EgressError extends Error {
  override readonly name = 'EgressError';

  constructor(
    readonly code: EgressFault,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export interface EgressOptions {
  /** Addresses and ranges that may be called although they are not public. */
  readonly allowed?: readonly string[];
  /** Certificates to be trusted besides those of the runtime, PEM. */
  readonly ca?: string | Buffer | undefined;
  /** All addresses of a name. */
  readonly resolve?: (name: string) => Promise<readonly string[]>;
}

export interface EgressCall {
  /** Whose call it is: none has more than its share of the calls under way. */
  readonly tenantId: string;
  readonly url: string;
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** From the call to the last byte of the answer. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** What is called: https alone, or http too, where the answer is signed and secret to nobody (CRL, OCSP). */
  readonly schemes?: 'https' | 'https-or-http';
}

export interface EgressAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** Of one process, all together. */
const maxCalls = 1_024;
/** Wherever they lead: a tenant's slow servers use up what is its own, and not the process's sockets, or those to a host that others call, too. */
const maxCallsOfTenant = 64;
const maxUrlLength = 2_048;
const resolveTimeoutMs = 2_000;

export class Egress {
  readonly #allowed: BlockList;
  readonly #resolve: (name: string) => Promise<readonly string[]>;
  readonly #https: HttpsAgent;
  readonly #http: HttpAgent;
  /** How many of each tenant's are under way. */
  readonly #calls = new Map<string, number>();
  #running = 0;

  constructor({ allowed = [], ca, resolve = resolveByDns }: EgressOptions = {}) {
    this.#allowed = rangesOf(allowed);
    this.#resolve = resolve;
    // A connection that is kept leads where it was checked to lead.
    const kept = { keepAlive: true, maxSockets: maxCalls, maxFreeSockets: 4, timeout: 30_000 };
    const trusted = ca === undefined ? {} : { ca };
    this.#https = new HttpsAgent({ ...kept, ...trusted, minVersion: 'TLSv1.2' });
    this.#http = new HttpAgent(kept);
  }

  /** Rejects with EgressError. An answer of any status but a redirection is an answer. */
  async call(call: EgressCall): Promise<EgressAnswer> {
    const url = callable(call.url, call.schemes ?? 'https');
    const deadline = AbortSignal.timeout(call.timeoutMs);
    const leave = this.#enter(call.tenantId);
    try {
      const addresses = await this.#check(hostOf(url), deadline);
      return await this.#send(url, call, addresses, deadline);
    } finally {
      leave();
    }
  }

  close(): void {
    this.#https.destroy();
    this.#http.destroy();
  }

  #enter(tenantId: string): () => void {
    const own = this.#calls.get(tenantId) ?? 0;
    if (this.#running >= maxCalls || own >= maxCallsOfTenant) {
      throw new EgressError('egress.busy', 'too many calls are under way');
    }
    this.#running += 1;
    this.#calls.set(tenantId, own + 1);
    return () => {
      this.#running -= 1;
      const left = (this.#calls.get(tenantId) ?? 1) - 1;
      if (left === 0) this.#calls.delete(tenantId);
      else this.#calls.set(tenantId, left);
    };
  }

  /** One address that may not be called is enough: which of them is taken is not for the tenant to choose. */
  async #check(host: string, deadline: AbortSignal): Promise<readonly string[]> {
    const addresses = isIP(host) === 0 ? await this.#lookUp(host, deadline) : [host];
    if (addresses.length === 0) throw new EgressError('egress.unresolved', `${host} has no address`);
    if (!addresses.every((address) => this.#mayCall(address))) {
      throw new EgressError('egress.address', `${host} leads to an address that may not be called`);
    }
    return addresses;
  }

  async #lookUp(host: string, deadline: AbortSignal): Promise<readonly string[]> {
    const late = new Promise<never>((_, reject) => {
      deadline.addEventListener('abort', () => reject(timedOut(host)), { once: true });
    });
    try {
      return await Promise.race([this.#resolve(host), late]);
    } catch (cause) {
      if (cause instanceof EgressError) throw cause;
      throw new EgressError('egress.unresolved', `${host} cannot be looked up`, { cause });
    }
  }

  #mayCall(address: string): boolean {
    return (
      isPublicAddress(address) ||
      (isIP(address) !== 0 && this.#allowed.check(address, isIPv6(address) ? 'ipv6' : 'ipv4'))
    );
  }

  #send(
    url: URL,
    call: EgressCall,
    addresses: readonly string[],
    deadline: AbortSignal,
  ): Promise<EgressAnswer> {
    const isPlain = url.protocol === 'http:';
    const { method = 'GET', headers = {}, body, maxBytes } = call;
    const options: RequestOptions = {
      method,
      agent: isPlain ? this.#http : this.#https,
      lookup: pinnedTo(addresses),
      signal: deadline,
      headers: {
        ...headers,
        'accept-encoding': 'identity',
        'user-agent': 'Moorage',
        ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
      },
    };
    const { host } = url;
    return new Promise((resolve, reject) => {
      const fail = (cause: unknown): void => {
        if (cause instanceof EgressError) return reject(cause);
        if (deadline.aborted) return reject(timedOut(host));
        reject(new EgressError('egress.unreachable', `${host} cannot be reached`, { cause }));
      };
      const request = (isPlain ? requestHttp : requestHttps)(url, options, (response) => {
        const status = response.statusCode ?? 0;
        const tooLarge = (): void => {
          response.destroy();
          fail(new EgressError('egress.too-large', `${host} answered with more than ${maxBytes} bytes`));
        };
        if (status >= 300 && status < 400) {
          response.destroy();
          return fail(new EgressError('egress.redirect', `${host} answered with a redirection`));
        }
        if (Number(response.headers['content-length'] ?? 0) > maxBytes) return tooLarge();
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > maxBytes) tooLarge();
          else chunks.push(chunk);
        });
        response.on('error', fail);
        response.on('end', () =>
          resolve({ status, headers: response.headers, body: Buffer.concat(chunks, bytes) }),
        );
      });
      request.on('error', fail);
      // An answer that is none, a switch of protocols for instance, ends the connection and not the request: without this the
      // call would count as under way for ever. After an answer it changes nothing.
      request.on('close', () => fail(new Error('closed without an answer')));
      request.end(body);
    });
  }
}

/** Why a tenant's address could never be called, before anybody calls it. Undefined: it may be. */
export function egressUrlFault(text: string, schemes: EgressCall['schemes'] = 'https'): string | undefined {
  // A parser of URLs leaves them out without a word: what is kept and shown would be another text than what is called.
  if (/[\s\p{Cc}]/u.test(text)) return 'a URL with spaces or control characters in it';
  try {
    callable(text, schemes);
    return undefined;
  } catch (error) {
    return error instanceof EgressError ? error.message : 'not a URL';
  }
}

function callable(text: string, schemes: EgressCall['schemes']): URL {
  const url = text.length > maxUrlLength ? null : URL.parse(text);
  const no = (why: string): EgressError => new EgressError('egress.url', why);
  if (url === null) throw no('not a URL');
  if (url.protocol !== 'https:' && !(schemes === 'https-or-http' && url.protocol === 'http:')) {
    throw no('not an https URL');
  }
  if (url.hostname === '') throw no('a URL without a host');
  if (url.username !== '' || url.password !== '') throw no('a URL with credentials in it');
  return url;
}

function hostOf({ hostname }: URL): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}

/** In place of a look-up: what has been checked. */
function pinnedTo(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_host, { all: wantsAll }, callback) => {
    if (wantsAll === true) return callback(null, all);
    callback(null, all[0]?.address ?? '', all[0]?.family);
  };
}

/** By DNS itself and not by the system's look-up, whose threads a tenant's slow name server could hold. */
async function resolveByDns(name: string): Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: resolveTimeoutMs, tries: 2 });
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  const failed = answers.find((answer) => answer.status === 'rejected');
  if (found.length === 0 && failed !== undefined) throw failed.reason;
  return found;
}

function timedOut(host: string): EgressError {
  return new EgressError('egress.timeout', `${host} has not answered in time`);
}
