/**
 * What a member of shared subscriptions leaves in the vault when its durable session ends goes to the other members: QoS 1, and
 * QoS 2 that was never sent (MQTT-4.8.2-5, -6). Until its session ends a member keeps what it was given, also while it is away
 * and others are here: they get what is new, and nothing is delivered twice.
 *
 * The vault does not say by which subscription a message came. A topic that an ordinary subscription of the session matches too
 * is left alone, for then it may be that one's own copy: better one message too few for the group, which is a SHOULD, than one
 * twice. A message leaves the one queue in the commit that puts it into the other, so that a crash in between repeats none.
 */
import type { QueuedMessage } from './ports.js';
import type { Session } from './session.js';
import type { SharedGroup } from './shared.js';
import { isShared, matches } from './topic.js';

const pageMessages = 500;
const pageBytes = 1024 * 1024;

/** How far it has come: where the vault was away it goes on from there, for what went before has left the queue. */
export interface Reached {
  /** Of the next message. */
  sequence: number;
  /** How many there were before. */
  place: number;
}

/** `session` has just ended, and is still in the vault; `filters` are those it had, `groups` those it was a member of. */
export async function handOver(
  session: Session,
  filters: readonly string[],
  groups: readonly SharedGroup[],
  reached: Reached,
): Promise<void> {
  const { space, key } = session;
  const ordinary = filters.filter((filter) => !isShared(filter));
  for (;;) {
    const page = await space.vault.read(key, reached.sequence, pageMessages, pageBytes);
    const last = page.at(-1);
    if (last === undefined) return;
    for (const queued of page) {
      const { topic } = queued.message;
      const wasSent = session.mayHaveSent(queued.sequence, reached.place++);
      if (!mayGo(queued, wasSent) || ordinary.some((filter) => matches(filter, topic))) continue;
      const group = groups.find(({ filter, isEmpty }) => !isEmpty && matches(filter, topic));
      if (group === undefined) continue;
      space.passOn(queued.message, group);
      space.vault.settle(key, [queued.sequence]); // right behind its append, which the vault commits it with
    }
    reached.sequence = last.sequence + 1;
  }
}

function mayGo({ qos, released }: QueuedMessage, wasSent: boolean): boolean {
  return qos === 1 || (!released && !wasSent);
}
