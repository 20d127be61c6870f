/**
 * What broker processes know and no table holds, from the api's side: a question is a row that wakes every process, and each answers by
 * a row of its own. Whoever asks commits the question first, looks for the answers, and takes all of it away again.
 */
import type { TenantTx } from './control-store.js';

export interface LiveQuestionRow {
  /** At least one, and at most 200. */
  readonly deviceIds: readonly string[];
  /** Undefined: whatever clients these devices have. */
  readonly clientId?: string | undefined;
}

/** A client that is connected, as its process tells of it. */
export interface LiveClient {
  readonly clientId: string;
  readonly deviceId: string;
  readonly username: string;
  readonly transport: 'tcp' | 'tls' | 'ws' | 'wss' | null;
  readonly address: string | null;
  readonly hasCertificate: boolean;
  readonly commonName: string | null;
  /** What a durable session is subscribed to stands in the table of subscriptions as well. */
  readonly isDurable: boolean;
  readonly subscriptions: readonly LiveSubscription[];
}

export interface LiveSubscription {
  readonly filter: string;
  /** The Subscription Options byte (MQTT 5.0, 3.8.3.1). */
  readonly options: number;
  readonly subscriptionId: number | null;
}

/** Of one process. */
export interface LiveAnswer {
  readonly clients: readonly LiveClient[];
  /** False: there are more than one answer holds. */
  readonly isComplete: boolean;
}

/** A process answers one question after the other: one tenant has so many waiting at most, and others need not wait for more. */
const mostWaiting = 8;
/** Longer than anybody waits for an answer. */
export const questionLifeS = 10;

/** Undefined: too many of the tenant's are waiting. */
export async function askBrokers(
  { db, tenantId }: TenantTx,
  { deviceIds, clientId }: LiveQuestionRow,
): Promise<string | undefined> {
  const rows = await db.$queryRaw<{ id: string }[]>`
    INSERT INTO questions (tenant_id, device_ids, client_id)
    SELECT ${tenantId}::uuid, ${deviceIds}::uuid[], ${clientId ?? null}::text
     WHERE (SELECT count(*) FROM questions q
             WHERE q.tenant_id = ${tenantId}::uuid AND q.asked_at > now() - ${questionLifeS} * interval '1 s') < ${mostWaiting}
    RETURNING id::text`;
  return rows[0]?.id;
}

/** How many broker processes live and have not answered. */
export async function countSilent({ db, tenantId }: TenantTx, questionId: string): Promise<number> {
  const rows = await db.$queryRaw<{ silent: number }[]>`
    SELECT count(*)::int AS silent FROM broker_processes p
     WHERE lease_until > now() AND NOT EXISTS (
       SELECT FROM answers a
        WHERE a.tenant_id = ${tenantId}::uuid AND a.question_id = ${questionId}::uuid AND a.process_id = p.id)`;
  return rows[0]?.silent ?? 0;
}

/** What there is of answers; the question is over. */
export async function closeQuestion({ db, tenantId }: TenantTx, id: string): Promise<LiveAnswer[]> {
  const answers = await db.answer.findMany({ where: { tenantId, questionId: id } });
  await db.question.deleteMany({ where: { tenantId, id } });
  return answers.map(({ result }) => result as unknown as LiveAnswer);
}

/** Those whose api ended before it could take them away. */
export async function sweepQuestions({ db, tenantId }: TenantTx): Promise<void> {
  await db.$executeRaw`
    DELETE FROM questions WHERE tenant_id = ${tenantId}::uuid AND asked_at < now() - ${questionLifeS} * interval '1 s'`;
}
