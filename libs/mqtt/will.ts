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

/** After an unexpected answer of the store, the will is tried again. */
const retryMs = 5_000;

interface Pending {
  readonly principal: Principal;
  readonly epoch: number;
  readonly will: Will;
  readonly deadline: Deadline;
}

export class Wills {
  readonly #space: Space;
  /** Clients whose will is in the vault. */
  readonly #kept = new Set<ClientId>();
  /** Wills of connections that ended, waiting for their delay. */
  readonly #pending = new Map<ClientId, Pending>();

  constructor(space: Space) {
    this.#space = space;
  }

  /** Stores what a new connection brings in place of what the client had; resolves when that is committed. */
  replace(principal: Principal, epoch: number, will: Will | undefined): Promise<void> {
    if (will === undefined) {
      this.discard(principal, epoch);
      return Promise.resolve();
    }
    this.#cancel(principal.clientId);
    this.#kept.add(principal.clientId);
    return new Promise((resolve, reject) =>
      this.#space.vault.keepWill(principal, epoch, will, undefined, (error) =>
        error === undefined ? resolve() : reject(error),
      ),
    );
  }

  /** The client is back in time, or said good-bye (MQTT-3.1.3-9, MQTT-3.14.4-3). */
  discard(principal: Principal, epoch: number): void {
    this.#cancel(principal.clientId);
    if (!this.#kept.delete(principal.clientId)) return;
    this.#space.vault.keepWill(principal, epoch, undefined, undefined);
  }

  /** The will's delay begins; with 0 it is due now. */
  schedule(principal: Principal, epoch: number, will: Will, delayMs: number): void {
    if (delayMs <= 0) return this.#publish(principal, epoch, will);
    const dueAt = this.#space.clock.now() + delayMs;
    this.#kept.add(principal.clientId);
    this.#space.vault.keepWill(principal, epoch, will, dueAt);
    this.#wait({ principal, epoch, will }, dueAt);
  }

  /** Found at the start: of connections that ended, or whose process did. */
  resume({ principal, epoch, will, dueAt }: StoredWill, graceMs: number): void {
    this.#kept.add(principal.clientId);
    // Who was connected when its process ended gets the chance to come back before its will says that it is gone.
    const at = dueAt ?? this.#space.clock.now() + Math.max(graceMs, will.delayS * 1000);
    this.#wait({ principal, epoch, will }, at);
  }

  /** The session has ended, and with it the delay (3.1.3.2.2). */
  sessionEnded(clientId: ClientId): void {
    const pending = this.#pending.get(clientId);
    if (pending === undefined) return;
    this.#cancel(clientId);
    this.#publish(pending.principal, pending.epoch, pending.will);
  }

  /** Rights have changed: wills that wait for their delay and may not be published any more are dropped. */
  async review(
    concerns: (principal: Principal) => boolean,
    receipt: { willsSuppressed: number },
  ): Promise<void> {
    for (const pending of Array.from(this.#pending.values())) {
      const { principal, epoch, will } = pending;
      if (!concerns(principal)) continue;
      const answer = await this.#space.gate.review(principal);
      if (this.#pending.get(principal.clientId) !== pending) continue;
      if (answer.kind === 'refused' && answer.reason === Reasons.serverUnavailable) continue;
      const right = answer.kind === 'granted' ? answer.policy.publishRight(will.topic) : undefined;
      if (right?.allowed === true) continue;
      this.#cancel(principal.clientId);
      this.#suppress(principal, epoch, will, Reasons.notAuthorized, right?.detail ?? 'signed out');
      receipt.willsSuppressed += 1;
    }
  }

  close(): void {
    for (const { deadline } of this.#pending.values()) deadline.cancel();
    this.#pending.clear();
  }

  #wait(stored: Omit<Pending, 'deadline'>, at: number): void {
    const { clientId } = stored.principal;
    this.#cancel(clientId);
    const deadline = new Deadline(this.#space.clock, at, () => {
      this.#pending.delete(clientId);
      this.#publish(stored.principal, stored.epoch, stored.will);
    });
    this.#pending.set(clientId, { ...stored, deadline });
  }

  #cancel(clientId: ClientId): void {
    this.#pending.get(clientId)?.deadline.cancel();
    this.#pending.delete(clientId);
  }

  #publish(principal: Principal, epoch: number, will: Will): void {
    const again = (): void => this.#wait({ principal, epoch, will }, this.#space.clock.now() + retryMs);
    this.#publishAsAllowed(principal, epoch, will, again).catch(again);
  }

  async #publishAsAllowed(principal: Principal, epoch: number, will: Will, again: () => void): Promise<void> {
    const space = this.#space;
    const answer = await space.gate.review(principal);
    if (answer.kind === 'refused') {
      if (answer.reason === Reasons.serverUnavailable) again();
      else this.#suppress(principal, epoch, will, answer.reason, answer.detail);
      return;
    }
    const right = answer.policy.publishRight(will.topic);
    if (!mayPublish(right, will)) {
      this.#suppress(principal, epoch, will, Reasons.notAuthorized, whyNot(right));
      return;
    }
    const message = asMessage(principal, will, space.clock.now());
    if (will.retain && !space.mayRetain(message, answer.limits)) {
      const detail = 'retained messages over the limit';
      this.#suppress(principal, epoch, will, Reasons.quotaExceeded, detail);
      return;
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
  }

  #suppress(principal: Principal, epoch: number, will: Will, reason: Reason, detail: string): void {
    this.#space.stats.willsSuppressed += 1;
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
    this.#forget(principal, epoch);
  }

  /** In the turn of its publication, so that both are in one commit. A newer will of the client stays. */
  #forget(principal: Principal, epoch: number): void {
    const session = this.#space.sessions.get(principal.clientId);
    if (session?.connection === undefined || session.epoch === epoch) this.#kept.delete(principal.clientId);
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
