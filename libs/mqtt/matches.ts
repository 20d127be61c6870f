/**
 * Who gets a message on a topic, worked out once per topic and kept until a subscription changes: overlapping filters of one
 * session are one match with the highest QoS and all identifiers (MQTT-3.3.4-2, -3); shared groups choose per message.
 */
import type { Qos, Subscription } from './message.js';
import type { Session } from './session.js';
import { SharedGroup } from './shared.js';
import type { TopicTree } from './tree.js';

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
  readonly own: Match | undefined;
}

export interface Matches {
  readonly direct: readonly Match[];
  readonly groups: readonly SharedGroup[];
  readonly isEmpty: boolean;
}

export type SubscriptionTree = TopicTree<Subscribed | SharedGroup>;

const noIds: readonly number[] = Object.freeze([]);
const mostTopics = 10_000;

export class MatchCache {
  readonly #tree: SubscriptionTree;
  readonly #byTopic = new Map<string, Matches>();

  constructor(tree: SubscriptionTree) {
    this.#tree = tree;
  }

  /** To be called whenever the tree has changed. */
  clear(): void {
    if (this.#byTopic.size > 0) this.#byTopic.clear();
  }

  find(topic: string): Matches {
    const known = this.#byTopic.get(topic);
    if (known !== undefined) return known;
    const found = findMatches(this.#tree, topic);
    if (this.#byTopic.size >= mostTopics) this.#byTopic.clear();
    this.#byTopic.set(topic, found);
    return found;
  }
}

function findMatches(tree: SubscriptionTree, topic: string): Matches {
  const bySession = new Map<Session, Subscription[]>();
  const groups: SharedGroup[] = [];
  tree.match(topic, (value) => {
    if (value instanceof SharedGroup) {
      groups.push(value);
      return;
    }
    const subscriptions = bySession.get(value.session);
    if (subscriptions === undefined) bySession.set(value.session, [value.subscription]);
    else subscriptions.push(value.subscription);
  });
  const direct: Match[] = [];
  for (const [session, subscriptions] of bySession) direct.push(merge(session, subscriptions));
  return { direct, groups, isEmpty: direct.length === 0 && groups.length === 0 };
}

function merge(session: Session, subscriptions: readonly Subscription[]): Match {
  const match = combine(session, subscriptions);
  const forOwn = subscriptions.filter(({ noLocal }) => !noLocal); // MQTT-3.8.3-3
  if (forOwn.length === subscriptions.length) return { ...match, own: match };
  return { ...match, own: forOwn.length === 0 ? undefined : combine(session, forOwn) };
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
  };
}
