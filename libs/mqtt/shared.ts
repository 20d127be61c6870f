import type { Qos } from './message.js';
import type { Session } from './session.js';

export interface SharedMember {
  readonly session: Session;
  readonly qos: Qos;
  readonly retainAsPublished: boolean;
  readonly subscriptionIds: readonly number[];
}

/** So many of the resting members are looked at again with each message. */
const lookedAtAgain = 2;

/**
 * One shared subscription: a group name and a filter, and the sessions that share it. Members take turns. One that can send to its client
 * right now comes before one that can only queue; a member that can do neither is passed over.
 *
 * There may be thousands of members, most of them away. A member that does not take messages rests: it is not asked again for every
 * message, but only when its client comes (`wake`), or when it is its turn among the few resting members that each message looks at.
 */
export class SharedGroup {
  /** Without `$share` and the group's name. */
  readonly filter: string;
  readonly #members = new Map<Session, SharedMember>();
  /** Every member is in one of these two. The next to be asked are at `#turn` and `#restingTurn`. */
  #taking: Session[] = [];
  #resting: Session[] = [];
  #turn = 0;
  #restingTurn = 0;

  constructor(filter: string) {
    this.filter = filter;
  }

  get isEmpty(): boolean {
    return this.#members.size === 0;
  }

  /** Returns whether the session was not a member before. */
  join(member: SharedMember): boolean {
    const isNew = !this.#members.has(member.session);
    this.#members.set(member.session, member);
    if (isNew) this.#taking.push(member.session);
    return isNew;
  }

  leave(session: Session): void {
    if (!this.#members.delete(session)) return;
    this.#taking = this.#taking.filter((member) => member !== session);
    this.#resting = this.#resting.filter((member) => member !== session);
  }

  /** Its client is back. */
  wake(session: Session): void {
    const at = this.#resting.indexOf(session);
    if (at < 0) return;
    this.#resting.splice(at, 1);
    this.#taking.push(session);
  }

  /** The member whose turn it is (MQTT-4.8.2-4 to -6); undefined: nobody can take the message. */
  choose(topic: string, qos: Qos): SharedMember | undefined {
    this.#lookAgain(topic, qos);
    let looked = 0;
    while (looked < this.#taking.length) {
      if (this.#turn >= this.#taking.length) this.#turn = 0;
      const session = this.#taking[this.#turn] as Session;
      const member = this.#members.get(session) as SharedMember;
      const mayReceive = session.mayReceive(topic);
      if (mayReceive && takesNow(member, qos)) {
        this.#turn += 1;
        return member;
      }
      if (mayReceive) this.#rest(this.#turn);
      else {
        this.#turn += 1;
        looked += 1;
      }
    }
    return this.#queueing(topic, qos);
  }

  #rest(at: number): void {
    const [session] = this.#taking.splice(at, 1);
    if (session !== undefined) this.#resting.push(session);
  }

  #lookAgain(topic: string, qos: Qos): void {
    for (let n = Math.min(lookedAtAgain, this.#resting.length); n > 0; n--) {
      if (this.#restingTurn >= this.#resting.length) this.#restingTurn = 0;
      const session = this.#resting[this.#restingTurn] as Session;
      const member = this.#members.get(session) as SharedMember;
      if (session.mayReceive(topic) && takesNow(member, qos)) this.wake(session);
      else this.#restingTurn += 1;
    }
  }

  /** Nobody takes it now: somebody keeps it. */
  #queueing(topic: string, qos: Qos): SharedMember | undefined {
    const resting = this.#resting;
    for (let n = resting.length; n > 0; n--) {
      const session = resting[this.#restingTurn++ % resting.length] as Session;
      const member = this.#members.get(session) as SharedMember;
      if (qos === 0 || member.qos === 0 || !session.mayReceive(topic) || !session.hasQueueRoom) continue;
      if (session.isDurable || session.connection !== undefined) return member;
    }
    return undefined;
  }
}

function takesNow({ session, qos: granted }: SharedMember, qos: Qos): boolean {
  return qos > 0 && granted > 0 ? session.isTaking : session.isListening;
}
