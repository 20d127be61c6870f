/** The core: links go in, connections come of them, each in the space of its tenant. */
import { clearRetained } from './clearing.js';
import { Connection } from './connection.js';
import { defaultPreAuthLimits, type PreAuthLimits } from './limits.js';
import type { ClientId, TenantId } from './message.js';
import type {
  Clock,
  Gate,
  Grant,
  Journal,
  Link,
  LinkSink,
  News,
  Principal,
  Receipt,
  Refusal,
  RuleName,
  Vault,
} from './ports.js';
import { Reasons, type Reason } from './reason.js';
import {
  disconnect,
  expel,
  nothingDone,
  type Renewal,
  renewSessions,
  reviewSession,
  reviewSessions,
} from './review.js';
import type { Session } from './session.js';
import { liveSessionsOf, type LiveQuestion, type LiveSessions } from './live.js';
import { Space } from './space.js';
import { addStats, noStats, type BrokerStats, type SpaceStats } from './stats.js';
import { Deadline } from './timers.js';
import { Turns } from './turns.js';

export interface BrokerOptions {
  readonly gate: Gate;
  readonly vault: Vault;
  readonly journal: Journal;
  readonly clock: Clock;
  /** What `$tenant/` tells. */
  readonly news?: News;
  readonly preAuthLimits?: PreAuthLimits;
  /** How long clients of a process that ended may take to come back before their wills are due. */
  readonly willGraceMs?: number;
  /** How long a tenant of whom nobody is connected stays in memory. */
  readonly idleSpaceMs?: number;
  /** Where 5.0 clients are sent when this process stops (Server Reference, 4.11); without it they are told to come again. */
  readonly serverReference?: string | undefined;
  /** What `$SYS/broker/version` says. */
  readonly version?: string;
  /** Told what clients are allowed to do, and by which rule: once a topic and connection, and once a subscription. */
  readonly onUse?: (use: Use) => void;
  /** Told of what should not happen: an error that is no fault of the client's. The connection concerned has been ended. */
  readonly onFault?: (error: unknown) => void;
}

const defaultWillGraceMs = 10_000;
/** Long enough that a tenant whose only device comes every few minutes is not loaded anew each time. */
const defaultIdleSpaceMs = 10 * 60_000;
/** A space that must be opened for its sessions to expire, and cannot be, is tried again. */
const reopenMs = 5_000;
/** Rights that were to change by themselves, when the store could not be asked. */
const reviewAgainMs = 1_000;
/** Between attempts to read what a lost process has left. */
const takeOverRetryMs = 5_000;
/** Devices whose deletion is remembered, for clients that were signing in just then. */
const mostExpelled = 10_000;

/** A right that somebody has used. */
export interface Use {
  readonly principal: Principal;
  readonly action: 'publish' | 'subscribe';
  readonly topic: string;
  readonly rule: RuleName | undefined;
}

export function createBroker(options: BrokerOptions): Broker {
  return new Broker(options);
}

export class Broker {
  readonly gate: Gate;
  readonly vault: Vault;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly news: News | undefined;
  readonly preAuthLimits: PreAuthLimits;
  readonly turns: Turns;
  readonly version: string;
  readonly onUse: (use: Use) => void;
  readonly onFault: (error: unknown) => void;
  isStopping = false;
  /** Sign-ins that were refused. */
  refused = 0;
  /** Grows with every change of rights: a sign-in under way sees that its answer may be of before. */
  rightsVersion = 0;

  readonly serverReference: string | undefined;

  readonly #willGraceMs: number;
  readonly #idleSpaceMs: number;
  readonly #connections = new Set<Connection>();
  readonly #spaces = new Map<TenantId, Promise<Space>>();
  readonly #open = new Map<TenantId, Space>();
  /** When spaces nobody uses are looked at; and when those that are closed are to be opened, for their sessions to expire. */
  readonly #idle = new Map<TenantId, Deadline>();
  readonly #wakes = new Map<TenantId, Deadline>();
  /** Devices that are gone: the last ones. */
  readonly #expelled = new Set<string>();
  /** Counters of spaces that are closed: they go on where they were. */
  readonly #past = new Map<TenantId, SpaceStats>();

  constructor(options: BrokerOptions) {
    this.gate = options.gate;
    this.vault = options.vault;
    this.journal = options.journal;
    this.clock = options.clock;
    this.news = options.news;
    this.preAuthLimits = options.preAuthLimits ?? defaultPreAuthLimits;
    this.#willGraceMs = options.willGraceMs ?? defaultWillGraceMs;
    this.version = options.version ?? 'Moorage';
    this.#idleSpaceMs = options.idleSpaceMs ?? defaultIdleSpaceMs;
    this.serverReference = options.serverReference;
    this.onUse = options.onUse ?? (() => undefined);
    this.onFault = options.onFault ?? (() => undefined);
    this.turns = new Turns((callback) => options.clock.soon(callback));
  }

  /** Opens the spaces in which something is due: wills, and sessions that expire. Rejects when the store is down. */
  async start(): Promise<void> {
    for (const tenantId of await this.vault.tenantsWithWork()) await this.space(tenantId);
  }

  /** Another process was lost while this one runs: its wills are published here. Tried until the store answers. */
  takeOver(): void {
    this.#adoptWills().catch(() => {
      if (!this.isStopping) this.clock.after(takeOverRetryMs, () => this.takeOver());
    });
  }

  async #adoptWills(): Promise<void> {
    for (const tenantId of await this.vault.tenantsWithWork()) {
      const { wills } = await this.space(tenantId);
      await wills.adopt(async () => (await this.vault.open(tenantId)).wills, this.#willGraceMs);
    }
  }

  /** Takes a link over. The listener feeds what is returned; the core writes to the link and ends it. */
  accept(link: Link): LinkSink {
    const connection = new Connection(this, link);
    if (this.isStopping) connection.end(Reasons.serverUnavailable, 'server-stop');
    else this.#connections.add(connection);
    return connection;
  }

  /** The tenant's space; its first visitor waits until it is loaded. Rejects when the store is down. */
  space(tenantId: TenantId): Promise<Space> {
    const known = this.#spaces.get(tenantId);
    if (known !== undefined) {
      this.#watchIdle(tenantId); // a visitor: it stays for a whole while yet
      return known;
    }
    const opening = this.#openSpace(tenantId);
    this.#spaces.set(tenantId, opening);
    return opening;
  }

  async #openSpace(tenantId: TenantId): Promise<Space> {
    const space = new Space(this, tenantId);
    try {
      await space.open(this.#willGraceMs);
    } catch (error) {
      space.close();
      this.#spaces.delete(tenantId);
      throw error;
    }
    addStats(space.stats, this.#past.get(tenantId) ?? noStats());
    this.#past.delete(tenantId);
    this.#open.set(tenantId, space);
    space.rightsVersion = this.rightsVersion; // changes while it was opening have not been noted
    this.#wakes.get(tenantId)?.cancel();
    this.#wakes.delete(tenantId);
    this.#watchIdle(tenantId);
    return space;
  }

  // -------------------------------------------------------------------------------------------------- spaces nobody uses

  /** Somebody has been let in. */
  inUse({ tenantId }: Space): void {
    this.#idle.get(tenantId)?.cancel();
    this.#idle.delete(tenantId);
  }

  left(connection: Connection): void {
    this.#connections.delete(connection);
    if (connection.session !== undefined) this.#watchIdle(connection.session.space.tenantId);
  }

  /** Nobody may be connected any more, or not yet: if it stays so, the space leaves memory. */
  #watchIdle(tenantId: TenantId): void {
    const space = this.#open.get(tenantId);
    if (space === undefined || space.connections.size > 0 || this.isStopping) return;
    this.#idle.get(tenantId)?.cancel();
    const at = this.clock.now() + this.#idleSpaceMs;
    this.#idle.set(
      tenantId,
      new Deadline(this.clock, at, () => void this.#unload(space).catch(this.onFault)),
    );
  }

  async #unload(space: Space): Promise<void> {
    const { tenantId } = space;
    const watch = this.#idle.get(tenantId);
    if (!space.isIdle) return this.#watchIdle(tenantId);
    await this.vault.flush(); // the next one reads what this one has written
    if (this.#idle.get(tenantId) !== watch) return; // somebody came meanwhile
    if (!space.isIdle) return this.#watchIdle(tenantId);
    this.#idle.delete(tenantId);
    this.#spaces.delete(tenantId);
    this.#open.delete(tenantId);
    this.#past.set(tenantId, space.stats);
    if (space.nextExpiry !== undefined) this.#wakeAt(tenantId, space.nextExpiry);
    space.close();
  }

  #wakeAt(tenantId: TenantId, at: number): void {
    const again = (): void => this.#wakeAt(tenantId, this.clock.now() + reopenMs);
    this.#wakes.set(tenantId, new Deadline(this.clock, at, () => void this.space(tenantId).catch(again)));
  }

  /** Whoever signs in just now sees that its answer is of before. */
  #noteChange(tenantId: TenantId): Space | undefined {
    this.rightsVersion += 1;
    const space = this.#open.get(tenantId);
    if (space !== undefined) space.rightsVersion = this.rightsVersion;
    return space;
  }

  /**
   * Rights have changed. Everyone concerned is held against the rights of now: subscriptions that lost cover go, wills too,
   * whoever may not be here any more is shown out.
   */
  async reauthorize(tenantId: TenantId, concerns: (principal: Principal) => boolean): Promise<Receipt> {
    const space = this.#noteChange(tenantId);
    const version = this.rightsVersion;
    const receipt = nothingDone();
    if (space === undefined) return receipt;
    const concerned = [...space.sessions.values()].filter((session) => concerns(session.principal));
    await reviewSessions(space, concerned, version, receipt);
    await space.wills.review(concerns, receipt);
    return receipt;
  }

  /** As `reauthorize`, where what has changed is a policy that the Gate knows: nobody is asked about one by one. */
  async renewPolicies(tenantId: TenantId, renew: Renewal): Promise<Receipt> {
    const space = this.#noteChange(tenantId);
    const version = this.rightsVersion;
    const receipt = nothingDone();
    if (space === undefined) return receipt;
    await renewSessions(space, renew, version, receipt);
    await space.wills.review(() => true, receipt);
    return receipt;
  }

  /** The device is gone for good, and so are its connections, sessions and wills when this resolves. */
  async expel(tenantId: TenantId, deviceId: string): Promise<Receipt> {
    const space = this.#noteChange(tenantId);
    this.#expelled.add(deviceId);
    const [longestAgo] = this.#expelled;
    if (this.#expelled.size > mostExpelled && longestAgo !== undefined) this.#expelled.delete(longestAgo);
    const receipt = nothingDone();
    if (space !== undefined) await expel(space, (principal) => principal.deviceId === deviceId, receipt);
    return receipt;
  }

  /**
   * Retained messages have been cleared in the vault: what is in memory goes too, with what was accepted meanwhile. Resolves when none
   * that was there is sent to anybody any more, nor is in the vault.
   */
  async clearRetained(tenantId: TenantId, filter: string): Promise<Receipt> {
    const receipt = nothingDone();
    // One that is being loaded may have read what was cleared; where that fails nothing is in memory. One that comes later reads what is left.
    const space = await this.#spaces.get(tenantId)?.catch(() => undefined);
    if (space !== undefined) receipt.retainedCleared = await clearRetained(space, filter);
    return receipt;
  }

  /** Who is connected of a tenant, and what to. Nobody's space is opened for the question. */
  async liveSessions(tenantId: TenantId, question: LiveQuestion): Promise<LiveSessions> {
    const space = this.#open.get(tenantId);
    return space === undefined ? { sessions: [], isComplete: true } : liveSessionsOf(space, question);
  }

  /** What was granted before a change of rights, as it is after it. Who cannot be judged is refused. */
  async grantOfNow({ principal }: Grant): Promise<Grant | Refusal> {
    const { clientId, deviceId, tenantId } = principal;
    const answer = await this.gate.review(principal);
    if (answer.kind === 'refused') return answer;
    if (this.isExpelled(deviceId)) {
      return { kind: 'refused', reason: Reasons.notAuthorized, detail: 'the device is gone', tenantId };
    }
    return { ...answer, principal: { ...answer.principal, clientId } };
  }

  /** It was deleted lately: nobody will ever come back for its sessions. */
  isExpelled(deviceId: string): boolean {
    return this.#expelled.has(deviceId);
  }

  /** A session's rights change by themselves, and now is the moment (Grant.reviewAt). Asked for until the Gate has an answer. */
  reviewDue(session: Session): void {
    reviewSession(session, this.rightsVersion, nothingDone())
      .then((isJudged) => (isJudged ? undefined : this.#reviewAgain(session)))
      .catch(this.onFault);
  }

  #reviewAgain(session: Session): void {
    if (session.connection !== undefined) this.clock.after(reviewAgainMs, () => this.reviewDue(session));
  }

  /** Shows a client out, and says what became of its will. */
  async disconnect(
    tenantId: TenantId,
    clientId: ClientId,
    reason: Reason = Reasons.administrativeAction,
  ): Promise<Receipt> {
    const receipt = nothingDone();
    await disconnect(this.#open.get(tenantId)?.sessions.get(clientId), reason, receipt);
    return receipt;
  }

  /** Lets no one in, holds wills, tells 5.0 clients, and resolves when everything is stored. */
  async stop(): Promise<void> {
    this.isStopping = true;
    const { serverShuttingDown, useAnotherServer } = Reasons;
    const reason = this.serverReference === undefined ? serverShuttingDown : useAnotherServer;
    for (const connection of this.#connections) connection.end(reason, 'server-stop', 'held');
    await Promise.allSettled(this.#spaces.values()); // those that are still opening
    const spaces = [...this.#open.values()];
    for (const space of spaces) space.close();
    for (const deadlines of [this.#idle, this.#wakes]) {
      for (const deadline of deadlines.values()) deadline.cancel();
    }
    await Promise.all(
      spaces.flatMap(({ arriving, leaving }) => [
        ...arriving.values(),
        ...Array.from(leaving.values(), ({ gone }) => gone),
      ]),
    );
    await this.vault.flush();
  }

  get tenants(): Iterable<TenantId> {
    return this.#open.keys();
  }

  /** Of one tenant; undefined: its space is not open. */
  statsOf(tenantId: TenantId): Readonly<SpaceStats> | undefined {
    return this.#open.get(tenantId)?.stats;
  }

  /** Of all. */
  get stats(): BrokerStats {
    const sum = noStats();
    for (const past of this.#past.values()) addStats(sum, past);
    let connections = 0;
    let sessions = 0;
    let subscriptions = 0;
    let retained = 0;
    for (const space of this.#open.values()) {
      addStats(sum, space.stats);
      connections += space.connections.size;
      sessions += space.sessions.size;
      subscriptions += space.subscriptionCount;
      retained += space.retained.count;
    }
    const links = this.#connections.size;
    return { ...sum, links, connections, sessions, subscriptions, retained, refused: this.refused };
  }
}
