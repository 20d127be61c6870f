/** Changes of rights, from the broker's side: every one of them, in order, once. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { Receipt, TenantId } from '#mqtt';
import { Channel } from './channel.js';
import type { ChangeKind, ChangeSubject } from '../control/changes.js';

export interface Change {
  readonly number: bigint;
  readonly tenantId: TenantId;
  readonly kind: ChangeKind;
  readonly subject: ChangeSubject;
  readonly recordedAt: Date;
}

export interface ChangeFeedOptions {
  /** With the role moorage_broker. */
  readonly url: string;
  readonly processId: string;
  /** Applies one change and says what it did. Called for one at a time; should it reject, it is called again for the same one. */
  readonly apply: (change: Change) => Promise<Receipt> | Receipt;
  /**
   * For what may take seconds: the lane in which it is applied, after those before it in that lane and beside all others, which do not
   * wait for it. Its own receipt says when it is applied. Undefined: every later change waits for it.
   */
  readonly laneOf?: (change: Change) => string | undefined;
  /** Told of each change as soon as it is read, before any that was read with it is applied: what it makes untrue is to be forgotten. */
  readonly onSeen?: (change: Change) => void;
  /** Every change that was there so many milliseconds ago has been applied, but for those in lanes. */
  readonly onHeard?: (agoMs: number) => void;
  /** The connection is lost, or `apply` rejected; the feed goes on by itself. */
  readonly onError: (error: unknown) => void;
  /** How often to look where no notification came. Default one second: what a lost one costs. */
  readonly pollMs?: number;
}

// Applied before they are confirmed together: bounds what a lost connection makes the api wait for.
const batchSize = 100;
/** Before a change in a lane that could not be applied is tried again. */
const againAfterMs = 1_000;

interface Confirmation {
  readonly tenantId: string;
  readonly number: bigint;
  readonly receipt: Receipt;
}

/**
 * Follows the table `changes` by number. The numbers commit in order (see the migration), so what is beyond the last one seen is all
 * there is to see: neither a notification nor a connection that is lost can make it skip a change.
 */
export class ChangeFeed {
  readonly #options: ChangeFeedOptions;
  readonly #channel: Channel;
  /** Up to it changes were applied, or are being applied in a lane. */
  #followed = 0n;
  readonly #lanes = new Map<string, Promise<void>>();
  /** Numbers of what is in lanes, in their order. */
  readonly #beside = new Set<bigint>();
  #unconfirmed: Confirmation[] = [];

  constructor(options: ChangeFeedOptions) {
    this.#options = options;
    this.#channel = new Channel({
      url: options.url,
      name: 'moorage-broker changes',
      channel: 'moorage_changes',
      look: (client) => this.#follow(client),
      onError: options.onError,
      pollMs: options.pollMs ?? 1_000,
    });
  }

  /** Up to this number every change has been applied here. */
  get applied(): bigint {
    const [first] = this.#beside;
    return first === undefined ? this.#followed : first - 1n;
  }

  /**
   * Resolves when it follows; rejects where the database cannot be reached. Without a number it begins after the newest change: to
   * be called before anything is read that a change could make untrue.
   */
  async start(after?: bigint): Promise<void> {
    await this.#channel.open(async (client) => {
      this.#followed = after ?? (await newestChange(client));
      await this.#confirm(client);
    });
    this.#channel.follow();
  }

  /** What is being applied is finished and confirmed; what waits in a lane is left. */
  async stop(): Promise<void> {
    await this.#channel.stop(async (client) => {
      await Promise.all(this.#lanes.values());
      if (this.#unconfirmed.length > 0) await this.#confirm(client);
    });
    await Promise.all(this.#lanes.values()); // where there was no connection to confirm them by
  }

  async #follow(client: Client): Promise<boolean> {
    const askedAt = performance.now();
    const isMore = await this.#applyNext(client);
    if (!isMore) this.#options.onHeard?.(performance.now() - askedAt);
    return isMore;
  }

  /** True: there may be more. */
  async #applyNext(client: Client): Promise<boolean> {
    // What was applied and could not be confirmed comes first; it is not applied again.
    if (this.#unconfirmed.length > 0) await this.#confirm(client);
    const { rows } = await client.query<ChangeRow>(
      `SELECT c.number::text AS number, tenant_id, kind, subject, created_at FROM changes c
        WHERE c.number > $1 ORDER BY c.number LIMIT ${batchSize}` /* c.: the output column of that name is a text */,
      [this.#followed],
    );
    const changes = rows.map(toChange);
    for (const change of changes) this.#options.onSeen?.(change);
    try {
      for (const change of changes) {
        if (this.#channel.isStopped) break;
        const lane = this.#options.laneOf?.(change);
        if (lane === undefined) this.#note(change, await this.#options.apply(change));
        else this.#applyIn(lane, change);
        this.#followed = change.number;
      }
    } finally {
      if (this.#unconfirmed.length > 0) await this.#confirm(client);
    }
    return rows.length === batchSize;
  }

  #note({ tenantId, number }: Change, receipt: Receipt): void {
    this.#unconfirmed.push({ tenantId, number, receipt });
  }

  #applyIn(lane: string, change: Change): void {
    this.#beside.add(change.number);
    const applying = this.#applyUntilDone(change, this.#lanes.get(lane)).finally(() => {
      if (this.#lanes.get(lane) === applying) this.#lanes.delete(lane);
    });
    this.#lanes.set(lane, applying);
  }

  async #applyUntilDone(change: Change, earlier: Promise<void> | undefined): Promise<void> {
    await earlier;
    while (!this.#channel.isStopped) {
      try {
        const receipt = await this.#options.apply(change);
        this.#beside.delete(change.number);
        this.#note(change, receipt);
        this.#channel.tell(); // it is confirmed by the next look
        return;
      } catch (error) {
        this.#options.onError(error);
        await sleep(againAfterMs);
      }
    }
  }

  async #confirm(client: Client): Promise<void> {
    const confirmed = [...this.#unconfirmed]; // more may come while it is written
    await client.query(
      `WITH receipt AS (
         INSERT INTO change_receipts (tenant_id, number, process_id, result)
         SELECT tenant_id, number, $1::uuid, result FROM unnest($2::uuid[], $3::bigint[], $4::jsonb[]) r (tenant_id, number, result)
         ON CONFLICT DO NOTHING)
       UPDATE broker_processes SET applied = greatest(applied, $5::bigint) WHERE id = $1::uuid`,
      [
        this.#options.processId,
        confirmed.map(({ tenantId }) => tenantId),
        confirmed.map(({ number }) => number),
        confirmed.map(({ receipt }) => JSON.stringify(receipt)),
        this.applied,
      ],
    );
    this.#unconfirmed = this.#unconfirmed.slice(confirmed.length);
  }
}

interface ChangeRow {
  readonly number: string;
  readonly tenant_id: string;
  readonly kind: ChangeKind;
  readonly subject: ChangeSubject;
  readonly created_at: Date;
}

function toChange(row: ChangeRow): Change {
  return {
    number: BigInt(row.number),
    tenantId: row.tenant_id as TenantId,
    kind: row.kind,
    subject: row.subject,
    recordedAt: row.created_at,
  };
}

async function newestChange(client: Client): Promise<bigint> {
  const { rows } = await client.query<{ newest: string }>(
    'SELECT coalesce(max(number), 0)::text AS newest FROM changes',
  );
  return BigInt(rows[0]?.newest ?? 0);
}
