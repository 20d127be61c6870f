/**
 * Who gets a message on a topic, worked out once per topic and kept until a subscription changes that may concern it: overlapping
 * filters of one session are one match with the highest QoS and all identifiers (MQTT-3.3.4-2, -3); shared groups choose per message.
 */
import type { Qos, Subscription } from './message.js';
import type { Policy } from './ports.js';
import type { Session } from './session.js';
import { SharedGroup } from './shared.js';
import { mostRemembered, startOf } from './topic.js';
import { TopicTree } from './tree.js';
import { unitsOfLookUp, type Turns } from './turns.js';

/** A session's own subscription in the tree. */
export interface Subscribed {
  readonly session: Session;
  readonly subscription: Subscription;
}

export interface Match {
  readonly session: Session;
  readonly qos: Qos;
  readonly retainAsPublished: boolean;
  readonly subscriptionIds: readonly number[];
  /** What holds for a message the session's own client publishes (No Local); undefined: it gets none. */
  own: Match | undefined;
  /** The policy that was asked last whether the session may receive the topic, and its answer. */
  judge: Policy | undefined;
  isAllowed: boolean;
}

export interface Matches {
  readonly direct: readonly Match[];
  readonly groups: readonly SharedGroup[];
  readonly isEmpty: boolean;
}

const noIds: readonly number[] = Object.freeze([]);
const noGroups: readonly SharedGroup[] = Object.freeze([]);
const nobody: Matches = Object.freeze({ direct: Object.freeze([]), groups: noGroups, isEmpty: true });
/** What the cache of one space may hold: a topic's characters, and so much for each match. A fan-out of thousands has its price. */
const mostWeight = 8_000_000;
const weightOfMatch = 64;

/** The subscriptions of one space by filter, and what was found in them. Filters have shed their `$share/…/`. */
export class MatchCache {
  readonly #tree = new TopicTree<Subscribed | SharedGroup>();
  readonly #turns: Turns;
  readonly #byTopic = new Map<string, Matches>();
  /** The topics that are remembered, by their first levels: a filter that begins with other words cannot match them. */
  readonly #byStart = new Map<string, string[]>();
  #weight = 0;

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  /** How many topics are remembered. */
  get size(): number {
    return this.#byTopic.size;
  }

  /** How many (filter, key) pairs there are. */
  get filterCount(): number {
    return this.#tree.size;
  }

  set(filter: string, key: string, value: Subscribed | SharedGroup): void {
    this.#tree.set(filter, key, value);
    this.#forget(filter);
  }

  delete(filter: string, key: string): void {
    this.#tree.delete(filter, key);
    this.#forget(filter);
  }

  find(topic: string): Matches {
    if (topic.length > mostRemembered) return this.#look(topic);
    return this.#byTopic.get(topic) ?? this.#remember(topic, this.#look(topic));
  }

  #look(topic: string): Matches {
    const found = findMatches(this.#tree, topic);
    this.#turns.spend(unitsOfLookUp(topic) + found.direct.length);
    return found;
  }

  #remember(topic: string, found: Matches): Matches {
    const weight = weightOf(topic, found);
    if (this.#weight + weight > mostWeight) this.#forgetAll();
    this.#byTopic.set(topic, found);
    this.#weight += weight;
    const start = startOf(topic) ?? topic;
    const alike = this.#byStart.get(start);
    if (alike === undefined) this.#byStart.set(start, [topic]);
    else alike.push(topic);
    return found;
  }

  /**
   * Every topic the filter matches, and others that begin like it: to look at each of thousands for each of thousands of filters
   * would cost more than to find them again, while what is dropped was put there once.
   */
  #forget(filter: string): void {
    const start = startOf(filter);
    if (start === undefined) return this.#forgetAll();
    const alike = this.#byStart.get(start);
    if (alike === undefined) return;
    this.#byStart.delete(start);
    for (const topic of alike) {
      const found = this.#byTopic.get(topic);
      if (found !== undefined) this.#weight -= weightOf(topic, found);
      this.#byTopic.delete(topic);
    }
  }

  #forgetAll(): void {
    this.#byTopic.clear();
    this.#byStart.clear();
    this.#weight = 0;
  }
}

function weightOf(topic: string, { direct, groups }: Matches): number {
  let weight = topic.length + weightOfMatch * (2 + direct.length + groups.length);
  for (const { subscriptionIds } of direct) weight += 8 * subscriptionIds.length;
  return weight;
}

function findMatches(tree: TopicTree<Subscribed | SharedGroup>, topic: string): Matches {
  const found: Subscribed[] = [];
  let groups: SharedGroup[] | undefined;
  tree.match(topic, (value) => {
    if (!(value instanceof SharedGroup)) found.push(value);
    else if (groups === undefined) groups = [value];
    else groups.push(value);
  });
  if (found.length === 0 && groups === undefined) return nobody;
  return { direct: mergeBySession(found), groups: groups ?? noGroups, isEmpty: false };
}

function mergeBySession(found: readonly Subscribed[]): Match[] {
  const [first] = found;
  if (first === undefined) return [];
  if (found.length === 1) return [merge(first.session, [first.subscription])]; // most topics have one subscriber
  const bySession = new Map<Session, Subscription[]>();
  for (const { session, subscription } of found) {
    const subscriptions = bySession.get(session);
    if (subscriptions === undefined) bySession.set(session, [subscription]);
    else subscriptions.push(subscription);
  }
  const direct: Match[] = [];
  for (const [session, subscriptions] of bySession) direct.push(merge(session, subscriptions));
  return direct;
}

function merge(session: Session, subscriptions: readonly Subscription[]): Match {
  const match = combine(session, subscriptions);
  match.own = match;
  if (subscriptions.some(({ noLocal }) => noLocal)) {
    const forOwn = subscriptions.filter(({ noLocal }) => !noLocal); // MQTT-3.8.3-3
    match.own = forOwn.length === 0 ? undefined : combine(session, forOwn);
  }
  return match;
}

function combine(session: Session, subscriptions: readonly Subscription[]): Match {
  let qos: Qos = 0;
  let retainAsPublished = false;
  const ids: number[] = [];
  for (const subscription of subscriptions) {
    if (subscription.qos > qos) qos = subscription.qos;
    if (subscription.retainAsPublished) retainAsPublished = true;
    if (subscription.subscriptionId !== undefined) ids.push(subscription.subscriptionId);
  }
  return {
    session,
    qos,
    retainAsPublished,
    subscriptionIds: ids.length === 0 ? noIds : ids,
    own: undefined,
    judge: undefined,
    isAllowed: false,
  };
}

/**
 * Whether the session may receive the topic that it was matched for. A policy never changes its mind, so it is asked once a
 * topic and not once a message, which with one deny of `receive` was a tenth of a message's cost.
 */
export function mayReceive(match: Match, topic: string): boolean {
  const { session } = match;
  if (match.judge !== session.policy) {
    match.judge = session.policy;
    match.isAllowed = session.isEntitledTo(topic);
  }
  return match.isAllowed || session.connection === undefined;
}
