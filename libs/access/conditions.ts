/**
 * Conditions of rules that are facts of the connection: how it came, from where, and when. They are settled before a policy is
 * compiled for a principal: rules that do not hold now are left out, and nothing is asked per message. Only time changes while
 * a connection lives; `reviewAt` says when the rights are to be looked at again.
 *
 * A fact that is not known counts against whoever it is about: an allow rule that asks for it does not hold, a deny does.
 */
import { AddressSet, addressRangeSchema } from './address.js';
import type { PolicyDocument } from './policy.js';
import { type TimeWindow, timeWindowSchema, windowAt } from './time-window.js';
import { z } from 'zod';

/** tls and wss hold with and without a client's certificate; mtls holds where one was shown, over TCP or WebSocket. */
const transportNames = ['tcp', 'tls', 'mtls', 'ws', 'wss'] as const;
export type TransportName = (typeof transportNames)[number];

export const connectionConditions = {
  transports: z.array(z.enum(transportNames)).min(1).max(transportNames.length).optional(),
  addresses: z.array(addressRangeSchema).min(1).max(100).optional(),
  time: timeWindowSchema.optional(),
};

export interface Conditions {
  readonly transports?: readonly TransportName[] | undefined;
  readonly addresses?: readonly string[] | undefined;
  readonly time?: TimeWindow | undefined;
}

/** What is known of a connection. */
export interface Circumstances {
  readonly transports: readonly TransportName[] | undefined;
  readonly address: string | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** The names that a link answers to. */
export function transportsOf(
  transport: 'tcp' | 'tls' | 'ws' | 'wss',
  hasCertificate: boolean,
): TransportName[] {
  return hasCertificate ? [transport, 'mtls'] : [transport];
}

export interface Settled {
  /** The same object for the same outcome: what is compiled from it is found again by that. */
  readonly document: PolicyDocument;
  /** Milliseconds since the epoch; undefined: it holds as long as the connection. */
  readonly reviewAt: number | undefined;
}

type Outcome = 'met' | 'unmet' | 'unknown';

/** The document with the rules that do not hold now marked as idle. */
export function settle(document: PolicyDocument, circumstances: Circumstances): Settled {
  const conditional = conditionalOf(document);
  if (conditional.rules.length === 0) return { document, reviewAt: undefined };
  let reviewAt: number | undefined;
  const idle: number[] = [];
  for (const { index, condition, isDeny } of conditional.rules) {
    const { outcome, until } = condition.judge(circumstances);
    if (until !== undefined && (reviewAt === undefined || until < reviewAt)) reviewAt = until;
    if (outcome === 'unmet' || (outcome === 'unknown' && !isDeny)) idle.push(index);
  }
  const key = idle.join(' ');
  let settled = conditional.settled.get(key);
  if (settled === undefined) {
    settled = idle.length === 0 ? document : { ...document, idle: new Set(idle) };
    if (conditional.settled.size < maxOutcomes) conditional.settled.set(key, settled);
  }
  return { document: settled, reviewAt };
}

/** Whether some rule asks how, from where, or when a connection has come. */
export function isConditional(document: PolicyDocument): boolean {
  return conditionalOf(document).rules.length > 0;
}

/** For explanations: which of a rule's conditions do not hold, or are not known. */
export function unmetBy(conditions: Conditions, circumstances: Circumstances): (keyof Conditions)[] {
  return new Condition(conditions).unmet(circumstances);
}

interface Conditional {
  readonly rules: readonly {
    readonly index: number;
    readonly condition: Condition;
    readonly isDeny: boolean;
  }[];
  readonly settled: Map<string, PolicyDocument>;
}

/** Outcomes that are remembered for one document: as many as its conditions have in practice. */
const maxOutcomes = 256;
const known = new WeakMap<PolicyDocument, Conditional>();

function conditionalOf(document: PolicyDocument): Conditional {
  let conditional = known.get(document);
  if (conditional === undefined) {
    const rules = document.rules.flatMap(({ when, effect }, index) =>
      (when?.transports ?? when?.addresses ?? when?.time)
        ? [{ index, condition: new Condition(when), isDeny: effect === 'deny' }]
        : [],
    );
    known.set(document, (conditional = { rules, settled: new Map() }));
  }
  return conditional;
}

class Condition {
  readonly #transports: readonly TransportName[] | undefined;
  readonly #addresses: AddressSet | undefined;
  readonly #time: TimeWindow | undefined;
  /** What was found last, while that is true. */
  #from = Infinity;
  #until = -Infinity;
  #isOpen = false;

  constructor({ transports, addresses, time }: Conditions) {
    this.#transports = transports;
    this.#addresses = addresses && new AddressSet(addresses);
    this.#time = time;
  }

  judge(circumstances: Circumstances): { readonly outcome: Outcome; readonly until: number | undefined } {
    const unmet = this.#facts(circumstances);
    if (unmet.includes('unmet')) return { outcome: 'unmet', until: undefined };
    const isOpen = this.#time === undefined || this.#look(this.#time, circumstances.now);
    const until = this.#time && this.#until;
    if (!isOpen) return { outcome: 'unmet', until };
    return { outcome: unmet.includes('unknown') ? 'unknown' : 'met', until };
  }

  unmet(circumstances: Circumstances): (keyof Conditions)[] {
    const [transports, addresses] = this.#facts(circumstances);
    const faults: (keyof Conditions)[] = [];
    if (transports !== 'met') faults.push('transports');
    if (addresses !== 'met') faults.push('addresses');
    if (this.#time !== undefined && !this.#look(this.#time, circumstances.now)) faults.push('time');
    return faults;
  }

  #facts({ transports, address }: Circumstances): [transports: Outcome, addresses: Outcome] {
    return [
      this.#transports === undefined
        ? 'met'
        : transports === undefined
          ? 'unknown'
          : transports.some((name) => this.#transports?.includes(name))
            ? 'met'
            : 'unmet',
      this.#addresses === undefined
        ? 'met'
        : address === undefined
          ? 'unknown'
          : this.#addresses.has(address)
            ? 'met'
            : 'unmet',
    ];
  }

  #look(window: TimeWindow, now: number): boolean {
    if (now < this.#from || now >= this.#until) {
      const state = windowAt(window, now);
      this.#from = now;
      this.#until = state.until;
      this.#isOpen = state.isOpen;
    }
    return this.#isOpen;
  }
}
