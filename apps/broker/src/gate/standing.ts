import {
  type AddressFence,
  type ClientIdRule,
  clientIdRuleSchema,
  isExpandable,
  type Variables,
} from '#access';
import type { Grant, Limits } from '#mqtt';
import type { DirectoryTenant } from '#store';

import { AddressFences } from './addresses.js';
import { TenantLimits } from './limits.js';
import type { BoundRules } from './policies.js';
import { type Proof, usernameOf } from './proof.js';

/**
 * What an entry of the directory says, parsed and compiled once: it is the same for everybody who comes with its credential. What depends
 * on the time, the address or the client identifier is judged at each sign-in (`grants.ts`).
 */
export interface Standing {
  readonly username: string;
  /** Undefined: it cannot be read, and allows nothing. */
  readonly clientIdRule: ClientIdRule | undefined;
  readonly fences: { readonly tenant: AddressFence | undefined; readonly device: AddressFence | undefined };
  readonly attributes: Variables['attributes'];
  readonly limits: Limits;
  readonly publishDenied: Grant['publishDenied'];
  readonly signInGraceMs: number;
  /** A subscription that is covered in part is granted. */
  readonly grantsInPart: boolean;
  /** Undefined until a sign-in first gets as far as its rules; from then on kept with the entry. */
  rules: BoundRules | undefined;
}

/** Makes a standing of each entry once, however long the entry is remembered. */
export class Standings {
  readonly #known = new WeakMap<Proof['entry'], Standing>();
  readonly #limits = new TenantLimits();
  readonly #fences = new AddressFences();
  readonly #onUnusableLimits: (tenant: DirectoryTenant, names: readonly string[]) => void;

  constructor(onUnusableLimits: (tenant: DirectoryTenant, names: readonly string[]) => void) {
    this.#onUnusableLimits = onUnusableLimits;
  }

  /** Throws UnreadableRulesError: fences that cannot be read hold everybody off. */
  of(proof: Proof): Standing {
    let standing = this.#known.get(proof.entry);
    if (standing === undefined) this.#known.set(proof.entry, (standing = this.#make(proof)));
    return standing;
  }

  #make(proof: Proof): Standing {
    const { tenant } = proof.entry;
    const { credential, device } = proof.holder;
    const { limits, unusable } = this.#limits.of(tenant.limits);
    if (unusable.length > 0) this.#onUnusableLimits(tenant, unusable);
    return {
      username: usernameOf(proof),
      clientIdRule: clientIdRuleSchema.safeParse(credential.clientIdRule).data,
      fences: { tenant: this.#fences.of(tenant.addresses), device: this.#fences.of(device.addresses) },
      attributes: textsOf(device.attributes),
      limits,
      publishDenied: settingOf(tenant, 'publishDenied') === 'close' ? 'close' : 'acknowledge',
      signInGraceMs: graceOf(settingOf(tenant, 'signInGraceS')),
      grantsInPart: settingOf(tenant, 'partialCover') === 'narrow',
      rules: undefined,
    };
  }
}

/** Attributes that can stand in a topic; any other has no value there. */
function textsOf(attributes: Readonly<Record<string, unknown>>): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'string' && isExpandable(value)) texts[name] = value;
  }
  return texts;
}

function settingOf({ settings }: DirectoryTenant, name: string): unknown {
  return Reflect.get(Object(settings), name);
}

function graceOf(seconds: unknown): number {
  return typeof seconds === 'number' && seconds > 0 ? seconds * 1_000 : 0;
}
