/**
 * Wills of one space. A will is in the vault from before CONNACK until it is published or discarded, so that it outlives the
 * process. It is published once, on the ordinary path, with the rights its owner has on that day.
 */
import type { ClientId, Message, Will } from './message.js';
import type { Principal, StoredWill } from './ports.js';
import { Reasons, type Reason } from './reason.js';
import { mayPublish, whyNot } from './rights.js';
import type { Space } from './space.js';
import { Deadline } from './timers.js';

/** What became of a will that was due; `later`: it could not be judged yet. */
export type WillOutcome = 'sent' | 'suppressed' | 'later';

/** After an unexpected answer of the store, the will is tried again. */
const retryMs = 5_000;

interface Due {
  readonly principal: Principal;
  readonly epoch: number;
  readonly will: Will;
}

interface Pending extends Due {
  readonly dueAt: number;
  readonly deadline: Deadline;
}

export class Wills {
  readonly #space: Space;
  /** Clients whose will is in the vault, and the epoch it came with. */
  readonly #kept = new Map<ClientId, number>();
  /** Wills of connections that ended, waiting for their delay. */
  readonly #pending = new Map<ClientId, Pending>();
  /** Of those, the ones whose client is back and not let in yet: it may still be turned away. */
  readonly #calledOff = new Map<ClientId, Pending>();
  /** Wills that are due and could not be judged: tried again. Nobody calls these off. */
  readonly #retries = new Map<ClientId, Pick<Pending, keyof Due | 'deadline'>>();
  /** For each reading of the vault under way: clients whose will went meanwhile. */
  readonly #goneDuring = new Set<Set<ClientId>>();
  /** Wills that are due and being judged. */
  readonly #underWay = new Map<ClientId, Promise<WillOutcome>>();
  #publishing = 0;
  #isClosed = false;

  constructor(space: Space) {
    this.#space = space;
  }

  /** Nothing is due, now or later. */
  get isIdle(): boolean {
    return this.#pending.size + this.#calledOff.size + this.#retries.size + this.#publishing === 0;
  }

  /** Stores what a newcomer brings in place of what the client had; resolves when that is committed. Undefined: there is nothing to store. */
  replace(principal: Principal, epoch: number, will: Will | undefined): Promise<void> | undefined {
    const { clientId } = principal;
    const pending = this.#pending.get(clientId);
    if (pending !== undefined) this.#calledOff.set(clientId, pending);
    this.#cancel(clientId);
    // One that is gone but for the commit would come back with a crash, though the client was in time.
    if (will !== undefined) this.#kept.set(clientId, epoch);
    else if (!this.#drop(clientId)) return undefined;
    return new Promise((resolve, reject) =>
      this.#space.vault.keepWill(principal, epoch, will, undefined, (error) =>
        error === undefined ? resolve() : reject(error),
      ),
    );
  }

  /** The newcomer has been let in, in time: the will of the connection before it is not published (MQTT-3.1.3-9). */
  welcomed(clientId: ClientId): void {
    this.#calledOff.delete(clientId);
  }

  /** The newcomer never was let in: it leaves no will, and the delay of the one before it goes on. */
  turnedAway(principal: Principal, epoch: number): void {
    const { clientId } = principal;
    const before = this.#calledOff.get(clientId);
    if (before === undefined) return this.discard(principal, epoch);
    this.#calledOff.delete(clientId);
    this.#kept.set(clientId, epoch);
    this.#space.vault.keepWill(before.principal, epoch, before.will, before.dueAt);
    this.#wait({ principal: before.principal, epoch, will: before.will }, before.dueAt);
  }

  /** The client said good-bye (MQTT-3.14.4-3). */
  discard(principal: Principal, epoch: number): void {
    this.#cancel(principal.clientId);
    if (!this.#drop(principal.clientId)) return;
    this.#space.vault.keepWill(principal, epoch, undefined, undefined);
  }

  /** The will's delay begins; with 0 it is due now. */
  schedule(principal: Principal, epoch: number, will: Will, delayMs: number): void {
    if (delayMs <= 0) return this.#publish({ principal, epoch, will });
    const dueAt = this.#space.clock.now() + delayMs;
    this.#kept.set(principal.clientId, epoch);
    this.#space.vault.keepWill(principal, epoch, will, dueAt);
    this.#wait({ principal, epoch, will }, dueAt);
  }

  /** Found at the start: of connections that ended, or whose process did. */
  resume({ principal, epoch, will, dueAt }: StoredWill, graceMs: number): void {
    this.#kept.set(principal.clientId, epoch);
    // Who was connected when its process ended gets the chance to come back before its will says that it is gone. No delay
    // outlasts the session (3.1.3.2.2), and one that is not durable went with the process.
    const { clock, sessions } = this.#space;
    const delayS = Math.min(will.delayS, sessions.get(principal.clientId)?.expiryIntervalS ?? 0);
    const at = dueAt ?? clock.now() + Math.max(graceMs, delayS * 1000);
    this.#wait({ principal, epoch, will }, at);
  }

  /** Wills of a process that was lost while this one runs: those that are not this one's already. */
  async adopt(read: () => Promise<readonly StoredWill[]>, graceMs: number): Promise<void> {
    const gone = new Set<ClientId>();
    this.#goneDuring.add(gone);
    try {
      for (const stored of await read()) {
        const { clientId } = stored.principal;
        if (!this.#kept.has(clientId) && !gone.has(clientId)) this.resume(stored, graceMs);
      }
    } finally {
      this.#goneDuring.delete(gone);
    }
  }

  /** The session has ended, and with it the delay (3.1.3.2.2). */
  sessionEnded(clientId: ClientId): void {
    const pending = this.#pending.get(clientId);
    if (pending === undefined) return;
    this.#cancel(clientId);
    this.#publish(pending);
  }

  /** Rights have changed: wills that wait for their delay and may not be published any more are dropped. */
  async review(
    concerns: (principal: Principal) => boolean,
    receipt: { willsSuppressed: number },
  ): Promise<void> {
    for (const pending of Array.from(this.#pending.values())) {
      const { principal, will } = pending;
      if (!concerns(principal)) continue;
      const answer = await this.#space.gate.review(principal);
      if (this.#pending.get(principal.clientId) !== pending) continue;
      if (answer.kind === 'refused' && answer.reason === Reasons.serverUnavailable) continue;
      const right = answer.kind === 'granted' ? answer.policy.publishRight(will.topic) : undefined;
      if (right?.allowed === true) continue;
      this.#cancel(principal.clientId);
      this.#suppress(pending, Reasons.notAuthorized, right?.detail ?? 'signed out');
      receipt.willsSuppressed += 1;
    }
  }

  /** Of principals who are gone: nothing that waits for its delay is published. */
  suppress(concerns: (principal: Principal) => boolean, receipt: { willsSuppressed: number }): void {
    for (const pending of Array.from(this.#pending.values())) {
      if (!concerns(pending.principal)) continue;
      this.#cancel(pending.principal.clientId);
      this.#suppress(pending, Reasons.notAuthorized, 'the device is gone');
      receipt.willsSuppressed += 1;
    }
  }

  /**
   * What becomes now of one that is due; undefined: none of this client is. The vault has room for one will of a client: until this one is
   * on its way, another in its place would leave it to memory alone.
   */
  settleDue(clientId: ClientId): Promise<WillOutcome> | undefined {
    this.#publishAgain(clientId);
    return this.#underWay.get(clientId);
  }

  /** Undefined: none of this client is. */
  underWay(clientId: ClientId): Promise<WillOutcome> | undefined {
    return this.#underWay.get(clientId);
  }

  close(): void {
    this.#isClosed = true;
    for (const { deadline } of this.#pending.values()) deadline.cancel();
    for (const { deadline } of this.#retries.values()) deadline.cancel();
    this.#pending.clear();
    this.#retries.clear();
  }

  #wait(due: Due, dueAt: number): void {
    if (this.#isClosed) return; // the vault has it
    const { clientId } = due.principal;
    this.#cancel(clientId);
    const deadline = new Deadline(this.#space.clock, dueAt, () => {
      this.#pending.delete(clientId);
      this.#publish(due);
    });
    this.#pending.set(clientId, { ...due, dueAt, deadline });
  }

  /** Returns whether the vault had one. */
  #drop(clientId: ClientId): boolean {
    for (const gone of this.#goneDuring) gone.add(clientId);
    return this.#kept.delete(clientId);
  }

  #cancel(clientId: ClientId): void {
    this.#pending.get(clientId)?.deadline.cancel();
    this.#pending.delete(clientId);
  }

  #publish(due: Due): void {
    const { clientId } = due.principal;
    const outcome = this.#publishAsAllowed(due)
      .catch(() => this.#tryAgain(due))
      .finally(() => {
        this.#publishing -= 1;
        if (this.#underWay.get(clientId) === outcome) this.#underWay.delete(clientId);
      });
    this.#publishing += 1;
    this.#underWay.set(clientId, outcome);
  }

  #publishAgain(clientId: ClientId): void {
    const due = this.#retries.get(clientId);
    if (due === undefined) return;
    due.deadline.cancel();
    this.#retries.delete(clientId);
    this.#publish(due);
  }

  #tryAgain(due: Due): 'later' {
    if (this.#isClosed) return 'later';
    const { clientId } = due.principal;
    const deadline = new Deadline(this.#space.clock, this.#space.clock.now() + retryMs, () =>
      this.#publishAgain(clientId),
    );
    this.#retries.set(clientId, { ...due, deadline });
    return 'later';
  }

  async #publishAsAllowed(due: Due): Promise<WillOutcome> {
    const { principal, epoch, will } = due;
    const space = this.#space;
    const answer = await space.gate.review(principal);
    if (this.#isClosed) return 'later'; // the vault has it
    if (answer.kind === 'refused') {
      if (answer.reason === Reasons.serverUnavailable) return this.#tryAgain(due);
      return this.#suppress(due, answer.reason, answer.detail);
    }
    const right = answer.policy.publishRight(will.topic);
    if (!mayPublish(right, will)) return this.#suppress(due, Reasons.notAuthorized, whyNot(right, will));
    const message = asMessage(principal, will, space.clock.now());
    if (message.retain && !space.mayRetain(message, answer.limits)) {
      return this.#suppress(due, Reasons.quotaExceeded, 'retained messages over the limit');
    }
    space.stats.willsPublished += 1;
    const commit = space.publish(
      message,
      right.telemetry ? { principal, timeField: right.timeField } : undefined,
      undefined,
    );
    commit?.whenStored((error) => {
      if (error !== undefined) space.stats.storeErrors += 1;
    });
    this.#forget(principal, epoch);
    return 'sent';
  }

  #suppress(due: Due, reason: Reason, detail: string): 'suppressed' {
    this.#space.stats.willsSuppressed += 1;
    const { principal, will } = due;
    this.#space.stats.denied += 1;
    this.#space.journal.denied({
      tenantId: principal.tenantId,
      deviceId: principal.deviceId,
      clientId: principal.clientId,
      username: principal.username,
      remoteAddress: '',
      action: 'publish',
      topic: will.topic,
      reason,
      detail: `will: ${detail}`,
      at: this.#space.clock.now(),
    });
    this.#forget(principal, due.epoch);
    return 'suppressed';
  }

  /** In the turn of its publication, so that both are in one commit. A newer will of the client stays. */
  #forget(principal: Principal, epoch: number): void {
    if (this.#kept.get(principal.clientId) === epoch) this.#drop(principal.clientId);
    this.#space.vault.keepWill(principal, epoch, undefined, undefined);
  }
}

function asMessage(principal: Principal, will: Will, now: number): Message {
  return {
    topic: will.topic,
    payload: will.payload,
    qos: will.qos,
    retain: will.retain,
    properties: will.properties,
    publisher: principal.clientId,
    receivedAt: now,
    expiresAt: will.messageExpiryS === undefined ? undefined : now + will.messageExpiryS * 1000,
  };
}
