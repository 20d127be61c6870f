/** One batch in one transaction: the fence decides, then everything is written and committed in one more round trip. */
import type { Client, QueryResult } from 'pg';

import type { ClaimedSession, ClientId, Principal, TenantId } from '#mqtt';

import type { Batch, Effects } from './batch.js';
import { coalesce, keyOf } from './batch.js';
import { toSubscription } from './rows.js';
import { changes } from './statements/changes.js';
import { fenceSessions, fenceWills, markBatch } from './statements/fence.js';
import { claimSessions, emptySessions, readClaimed } from './statements/sessions.js';
import type { Statement } from './statements/statement.js';

export interface Attempt {
  readonly processId: string;
  /** One more than that of the batch committed before. */
  readonly number: number;
  readonly nextMessageId: () => bigint;
  /** Called just before COMMIT is sent: from here on the batch may be committed, whatever is heard of it. */
  readonly committing: (effects: Effects) => void;
}

/** The process's own row says otherwise: this batch is committed already, or the row is gone. */
export class WrongTurn extends Error {
  override readonly name = 'WrongTurn';
}

/** Resolves after the commit. Rejects where that is not certain; the client is then of no further use. */
export async function writeBatch(client: Client, batch: Batch, attempt: Attempt): Promise<void> {
  const opening: Statement[] = [begin, markBatch(attempt.processId, attempt.number)];
  const isFenced = batch.sessions.size > 0 || batch.wills.size > 0;
  // The judge's answer is needed before the rest. Where no session is touched, as with telemetry, all is one round trip.
  if (isFenced) await openFenced(client, batch, opening.splice(0), attempt.processId);
  const effects = coalesce(batch, attempt.nextMessageId);
  const statements = [...opening, ...changes(batch, effects, attempt.processId), commit];
  attempt.committing(effects);
  const results = await run(client, statements);
  if (results.at(-1)?.command !== 'COMMIT') throw new Error('the transaction was rolled back');
}

/** What is now stored of the sessions that the batch claimed; those it removed again are left out. */
export async function readClaims(client: Client, batch: Batch): Promise<Map<string, ClaimedSession>> {
  const claims = [...batch.sessions.values()].filter(({ claim }) => claim !== undefined);
  if (claims.length === 0) return new Map();
  const [result] = await run(client, [readClaimed(claims)]);
  const sessions = (result?.rows ?? []) as SessionRow[];
  return new Map(
    sessions.map((row) => {
      const key = keyOf(row.tenantId, row.clientId);
      return [key, { ...toStoredSession(row), resumed: batch.sessions.get(key)?.resumed ?? false }];
    }),
  );
}

/** The number of the last batch committed, once no transaction of this process is under way; undefined: the row is gone. */
export async function readLastBatch(client: Client, processId: string): Promise<number | undefined> {
  const { rows } = await client.query<{ batch: number }>(
    'SELECT batch::float8 FROM broker_processes WHERE id = $1::uuid FOR UPDATE',
    [processId],
  );
  return rows[0]?.batch;
}

const begin: Statement = { name: 'begin', text: 'BEGIN', values: [] };
const commit: Statement = { name: 'commit', text: 'COMMIT', values: [] };

interface FenceRow {
  readonly tenantId: TenantId;
  readonly clientId: ClientId;
  readonly epoch: number;
  readonly existed?: boolean;
}

async function openFenced(
  client: Client,
  batch: Batch,
  opening: readonly Statement[],
  processId: string,
): Promise<void> {
  const sessions = [...batch.sessions.values()];
  const claims = sessions.filter(({ claim }) => claim !== undefined);
  const clean = claims.filter(({ claim }) => claim?.cleanStart);
  const others = sessions.filter(({ claim }) => claim === undefined);
  const statements = [...opening];
  if (claims.length > 0) statements.push(claimSessions(claims, processId));
  if (clean.length > 0) statements.push(emptySessions(clean));
  if (others.length > 0) statements.push(fenceSessions(others));
  if (batch.wills.size > 0) statements.push(fenceWills([...batch.wills.values()]));
  const results = await run(client, statements);
  for (const [i, { name }] of statements.entries()) {
    const rows = (results[i]?.rows ?? []) as FenceRow[];
    if (name === 'claim-sessions' || name === 'fence-sessions') for (const row of rows) judge(batch, row);
    else if (name === 'fence-wills') for (const row of rows) noteWill(batch, row);
  }
}

function judge(batch: Batch, row: FenceRow): void {
  const session = batch.sessions.get(keyOf(row.tenantId, row.clientId));
  if (session === undefined) return;
  session.state = row.epoch > session.epoch ? 'stale' : 'current';
  session.resumed = row.existed === true && session.claim?.cleanStart === false;
}

function noteWill(batch: Batch, row: FenceRow): void {
  const will = batch.wills.get(keyOf(row.tenantId, row.clientId));
  if (will !== undefined) will.epoch = row.epoch;
}

/** Sends all at once and waits for all; throws what went wrong first, for the rest only follows from it. */
async function run(client: Client, statements: readonly Statement[]): Promise<QueryResult[]> {
  const outcomes = await Promise.allSettled(statements.map((statement) => client.query(statement)));
  return outcomes.map((outcome, i) => {
    if (outcome.status === 'fulfilled') return outcome.value;
    const error: unknown = outcome.reason;
    if (statements[i]?.name === 'mark-batch' && Reflect.get(Object(error), 'code') === divisionByZero)
      throw new WrongTurn('this batch is not the next', { cause: error });
    throw error;
  });
}

const divisionByZero = '22012';

/** A row of `sessionDetail`. */
export interface SessionRow {
  readonly tenantId: TenantId;
  readonly clientId: ClientId;
  readonly principal: Principal;
  readonly epoch: number;
  readonly expiryIntervalS: number;
  readonly expiresAt: number | null;
  readonly connected: boolean;
  readonly nextSequence: number;
  readonly sentTo: number | null;
  readonly subscriptions: readonly (readonly [string, number, number | null])[] | null;
  readonly queuedMessages: number;
  readonly queuedBytes: number;
  readonly inboundPacketIds: readonly number[] | null;
}

export function toStoredSession(row: SessionRow): Omit<ClaimedSession, 'resumed'> {
  return {
    clientId: row.clientId,
    principal: row.principal,
    epoch: row.epoch,
    expiryIntervalS: row.expiryIntervalS,
    expiresAt: row.expiresAt ?? undefined,
    connected: row.connected,
    nextSequence: row.nextSequence,
    sentTo: row.sentTo ?? undefined,
    subscriptions: (row.subscriptions ?? []).map(([filter, options, id]) =>
      toSubscription(filter, options, id),
    ),
    queuedMessages: row.queuedMessages,
    queuedBytes: row.queuedBytes,
    inboundPacketIds: row.inboundPacketIds ?? [],
  };
}
