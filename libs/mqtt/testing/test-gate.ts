import { defaultLimits, type Limits } from '../limits.js';
import { matches } from '../topic.js';
import type { ClientId, TenantId } from '../message.js';
import type {
  Exchange,
  Gate,
  Grant,
  Policy,
  Principal,
  PublishRight,
  Refusal,
  SignIn,
  SubscribeRight,
} from '../ports.js';
import { Reasons, type Reason } from '../reason.js';

const everything: PublishRight = Object.freeze({
  allowed: true,
  maxQos: 2,
  mayRetain: true,
  maxPayloadBytes: Number.MAX_SAFE_INTEGER,
  telemetry: false,
  detail: '',
});
const nothing: PublishRight = Object.freeze({ ...everything, allowed: false, detail: 'no rule allows it' });

/** What a test lets somebody do; what is left out is allowed. */
export interface Rules {
  readonly publish?: readonly string[];
  readonly subscribe?: readonly string[];
  readonly receive?: readonly string[];
  /** Filters of what is telemetry. */
  readonly telemetry?: readonly string[];
  readonly right?: Partial<PublishRight>;
  readonly maxQos?: 0 | 1 | 2;
}

/** A small Policy over filters; a subscription is covered by the same filter, or by one that matches it as a topic. */
export function policyOf(rules: Rules): Policy {
  const covers = (filters: readonly string[] | undefined, topic: string): boolean =>
    filters === undefined || filters.some((filter) => filter === topic || matches(filter, topic));
  return {
    publishRight: (topic) => {
      if (!covers(rules.publish, topic)) return nothing;
      const telemetry = rules.telemetry !== undefined && covers(rules.telemetry, topic);
      return { ...everything, telemetry, ...rules.right };
    },
    subscribeRight: (filter): SubscribeRight => {
      const plain = filter.startsWith('$share/') ? filter.split('/').slice(2).join('/') : filter;
      const allowed = covers(rules.subscribe, plain);
      return { allowed, maxQos: rules.maxQos ?? 2, detail: allowed ? '' : 'no rule allows it' };
    },
    mayReceive: (topic) => covers(rules.receive, topic),
    receivesAll: rules.receive === undefined,
  };
}

/**
 * A Gate with rules a test can change. The username is `name@tenant`; without one the tenant is `tenant-a`. The password, if
 * there is one, must be `secret`.
 */
export class TestGate implements Gate {
  limits: Limits = defaultLimits;
  publishDenied: Grant['publishDenied'] = 'acknowledge';
  expiresAt: number | undefined;
  reviewAt: number | undefined;
  responseInformation: string | undefined;
  /** Refuses everybody while it is set. */
  refusal: Reason | undefined;
  /** Holds the answer to a sign-in back until `answer` is called. */
  isSlow = false;
  asked = 0;
  #rules: Rules = {};
  readonly #rulesOf = new Map<string, Rules>();
  readonly #exchanges = new Map<string, (request: SignIn) => Exchange>();
  #waiting: (() => void)[] = [];

  /** For everybody, or for one client identifier. */
  allow(rules: Rules, clientId?: string): void {
    if (clientId === undefined) this.#rules = rules;
    else this.#rulesOf.set(clientId, rules);
  }

  offer(method: string, exchange: (request: SignIn) => Exchange): void {
    this.#exchanges.set(method, exchange);
  }

  answer(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  async admit(request: SignIn): Promise<Grant | Refusal> {
    this.asked += 1;
    if (this.isSlow) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const { password, clientId, username } = request;
    if (password !== undefined && password.toString() !== 'secret') {
      return this.#refuse(Reasons.badUserNameOrPassword, tenantOf(username));
    }
    return this.grantTo(username ?? 'device', clientId as ClientId);
  }

  async review(principal: Principal): Promise<Grant | Refusal> {
    return this.grantTo(principal.username, principal.clientId);
  }

  exchange(method: string, request: SignIn): Exchange | undefined {
    return this.#exchanges.get(method)?.(request);
  }

  grantTo(username: string, clientId: ClientId): Grant | Refusal {
    const tenantId = tenantOf(username);
    if (this.refusal !== undefined) return this.#refuse(this.refusal, tenantId);
    return {
      kind: 'granted',
      principal: { tenantId, deviceId: `device-${clientId}`, credentialId: 'credential', username, clientId },
      limits: this.limits,
      policy: policyOf(this.#rulesOf.get(clientId) ?? this.#rules),
      publishDenied: this.publishDenied,
      expiresAt: this.expiresAt,
      reviewAt: this.reviewAt,
      responseInformation: this.responseInformation,
    };
  }

  #refuse(reason: Reason, tenantId: TenantId): Refusal {
    return { kind: 'refused', reason, detail: 'refused by the test', tenantId };
  }
}

export function tenantOf(username: string | undefined): TenantId {
  return (username?.split('@')[1] ?? 'tenant-a') as TenantId;
}
