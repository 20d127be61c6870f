import type { Qos } from './message.js';
import type { Session } from './session.js';

export interface SharedMember {
  readonly session: Session;
  readonly qos: Qos;
  readonly retainAsPublished: boolean;
  readonly subscriptionIds: readonly number[];
}

/**
 * One shared subscription: a group name and a filter, and the sessions that share it. Messages go round. Whoever takes
 * messages right now comes before whoever only queues them; a member that can do neither is passed over.
 */
export class SharedGroup {
  /** Without `$share` and the group's name. */
  readonly filter: string;
  readonly #members: SharedMember[] = [];
  #turn = 0;

  constructor(filter: string) {
    this.filter = filter;
  }

  get isEmpty(): boolean {
    return this.#members.length === 0;
  }

  /** Returns whether the session was not a member before. */
  join(member: SharedMember): boolean {
    const at = this.#members.findIndex(({ session }) => session === member.session);
    if (at < 0) this.#members.push(member);
    else this.#members[at] = member;
    return at < 0;
  }

  leave(session: Session): void {
    const at = this.#members.findIndex((member) => member.session === session);
    if (at >= 0) this.#members.splice(at, 1);
  }

  /** The member whose turn it is (MQTT-4.8.2-4 to -6); undefined: nobody can take the message. */
  choose(topic: string, qos: Qos): SharedMember | undefined {
    const members = this.#members;
    let queueing: SharedMember | undefined;
    for (let i = 0; i < members.length; i++) {
      const at = (this.#turn + i) % members.length;
      const member = members[at] as SharedMember;
      const { session } = member;
      if (!session.mayReceive(topic)) continue;
      const waits = qos > 0 && member.qos > 0;
      if (waits ? session.isTaking : session.isListening) {
        this.#turn = at + 1;
        return member;
      }
      if (!waits || queueing !== undefined || !session.hasQueueRoom) continue;
      if (session.isDurable || session.connection !== undefined) queueing = member;
    }
    if (queueing !== undefined) this.#turn = members.indexOf(queueing) + 1;
    return queueing;
  }
}
