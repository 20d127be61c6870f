import { recordAudit, recordChange, type ChangeKind, type ChangeSubject, type TenantTx } from '#store';
import type { TenantScope } from './scope.js';

/** Whoever does something: a caller of the api, or the platform by itself. */
export interface Doer {
  readonly caller: Pick<TenantScope['caller'], 'actor'>;
}

export type Detail = Readonly<Record<string, string | number | boolean | null>>;

export interface RightsChange {
  /** What the brokers are told: the kind of thing, and the ids that say whom it concerns. */
  readonly kind: ChangeKind;
  readonly subject: ChangeSubject;
  /** What the audit says was done, e.g. `device.create`. */
  readonly action: string;
  readonly subjectId: string;
  readonly detail?: Detail;
}

/** What a change of rights results in: its subject, and the number of the operation that carries it to the brokers. */
export interface Changed<T> {
  readonly value: T;
  readonly operation: bigint;
}

/**
 * Writes the audit row and the numbered change, in the transaction of the change itself and as its last step: recording a
 * change takes the lock that keeps numbers in commit order.
 */
export async function record(tx: TenantTx, scope: Doer, change: RightsChange): Promise<bigint> {
  await audit(tx, scope, change);
  return recordChange(tx, { kind: change.kind, subject: change.subject });
}

/** What the audit is about. Brokers are told of claim tokens by nobody: they are between a device and the api. */
export interface Deed extends Pick<RightsChange, 'action' | 'subjectId' | 'detail'> {
  readonly kind: ChangeKind | 'claim-token';
}

/** For what changes no right of anybody's: the audit row alone, or one for each of several deeds. */
export async function audit(tx: TenantTx, scope: Doer, ...deeds: readonly Deed[]): Promise<void> {
  const { actor } = scope.caller;
  const notes = deeds.map(({ kind, action, subjectId, detail = {} }) => ({
    actor,
    action,
    subjectKind: kind,
    subjectId,
    detail,
  }));
  await recordAudit(tx, ...notes);
}
