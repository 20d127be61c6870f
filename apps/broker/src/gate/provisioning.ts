import { z } from 'zod';

import { isDeviceName } from '#access';
import { type Reason, Reasons, type Refusal, type TenantId } from '#mqtt';
import { internalKey, type Logger } from '#process';

export interface ProvisioningOptions {
  /** Of the api, as this process reaches it. */
  readonly apiUrl: string;
  readonly secretKey: Buffer;
  readonly log: Logger;
}

/** Less than a client waits for CONNACK. */
const timeoutMs = 5_000;

const registration = z.object({ registered: z.boolean(), why: z.string().nullable() });
const problem = z.object({ code: z.string(), detail: z.string() });

export const unavailable: Refusal = {
  kind: 'refused',
  reason: Reasons.serverUnavailable,
  detail: 'provisioning: the api cannot be asked now',
  tenantId: undefined,
};

/**
 * Whatever makes a device or a certificate is asked of the api: this process reads rights and cannot write them, and has no
 * authority's key. Where the api cannot be asked nobody gets in who was not in before.
 */
export class Provisioning {
  readonly #url: string;
  readonly #key: string;
  readonly #log: Logger;

  constructor({ apiUrl, secretKey, log }: ProvisioningOptions) {
    this.#url = apiUrl;
    this.#key = internalKey(secretKey);
    this.#log = log;
  }

  /** Undefined: the device is there now. */
  async register(unknown: {
    readonly tenantId: string;
    readonly anchorId: string;
    readonly kind: 'device' | 'authId';
    readonly name: string;
    readonly address: string;
  }): Promise<Refusal | undefined> {
    const { tenantId } = unknown;
    // The api would take it for a request that is none, and the device would come again for ever.
    if (!isDeviceName(unknown.name)) return staysOut('name-not-allowed', tenantId);
    const answer = await this.#ask('registrations', unknown);
    const outcome = answer?.status === 200 ? registration.safeParse(answer.body) : undefined;
    if (outcome?.success !== true) return unavailable;
    if (outcome.data.registered) return undefined;
    return staysOut(outcome.data.why ?? 'off', tenantId);
  }

  /** What the device is to be told, as JSON. `tenantId`: who sees a refusal of somebody who has proven to be its. */
  async request(
    what: 'claims' | 'renewals',
    body: object,
    tenantId: TenantId | undefined,
  ): Promise<Buffer | Refusal> {
    const answer = await this.#ask(what, body);
    if (answer?.status === 200) return Buffer.from(JSON.stringify(answer.body));
    const told = answer !== undefined && answer.status < 500 ? problem.safeParse(answer.body) : undefined;
    if (told?.success !== true) return unavailable;
    const { code } = told.data;
    const isStranger = code === 'unauthenticated';
    return {
      kind: 'refused',
      reason: reasonOf(code),
      detail: `provisioning: ${code}`,
      tenantId: isStranger ? undefined : tenantId,
    };
  }

  async #ask(what: string, body: object): Promise<{ status: number; body: unknown } | undefined> {
    try {
      const response = await fetch(`${this.#url}/internal/${what}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${this.#key}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      });
      return { status: response.status, body: await response.json() };
    } catch (err) {
      this.#log.warn('provisioning.unavailable', { what, err });
      return undefined;
    }
  }
}

function staysOut(why: string, tenantId: string): Refusal {
  const detail = `provisioning: ${why}`;
  return { kind: 'refused', reason: Reasons.notAuthorized, detail, tenantId: tenantId as TenantId };
}

function reasonOf(code: string): Reason {
  if (code === 'unauthenticated') return Reasons.badUserNameOrPassword;
  if (code === 'limit-reached') return Reasons.quotaExceeded;
  return Reasons.notAuthorized;
}
