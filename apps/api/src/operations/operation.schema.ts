import { z } from 'zod';
import { isApplied, type ChangeProgress } from '#store';

type Receipt = ChangeProgress['receipts'][number]['result'];

/** Numbers of changes; a text that is none names nothing. */
export const operationPath = z
  .string()
  .regex(/^[1-9]\d{0,17}$/)
  .transform(BigInt);

const counts = {
  sessionsTouched: z.int().describe('Held against the rights of now, of clients that are away too'),
  subscriptionsRemoved: z.int(),
  connectionsClosed: z.int(),
  willsSuppressed: z.int().describe('Wills that will not be published: their right is gone'),
  willsSent: z.int().describe('Wills that what was ended has set off, and that have been published'),
  retainedCleared: z.int().describe('Retained messages that were taken out of memory'),
};
const counters = Object.keys(counts) as (keyof typeof counts)[];

export const operationView = z
  .object({
    number: z.string(),
    kind: z.string().describe('What kind of thing was changed'),
    status: z
      .enum(['applying', 'applied'])
      .describe(
        'applied: every broker process that lives has it in force, and of a device that was deleted no row is left; one that starts later reads the new rights',
      ),
    createdAt: z.iso.datetime(),
    processesConfirmed: z.int(),
    processesPending: z
      .int()
      .describe(
        'Broker processes that have not confirmed it yet; one that is lost is waited for until its lease is over',
      ),
    waitingFor: z.array(z.uuid()).describe('Those processes'),
    elapsedMs: z
      .int()
      .nullable()
      .describe('From the change to the last confirmation there is; null: there is none'),
    ...counts,
    receipts: z.array(
      z.object({
        processId: z.uuid(),
        appliedAt: z.iso.datetime(),
        elapsedMs: z.int().describe('From the change to this process having applied it'),
        ...counts,
      }),
    ),
  })
  .meta({ id: 'Operation' });

export function presentOperation(progress: ChangeProgress): z.input<typeof operationView> {
  const { receipts, waitingFor } = progress;
  const elapsed = receipts.map(({ appliedAt }) => sinceChange(progress, appliedAt));
  return {
    number: String(progress.number),
    kind: progress.kind,
    status: isApplied(progress) ? 'applied' : 'applying',
    createdAt: progress.recordedAt.toISOString(),
    processesConfirmed: receipts.length,
    processesPending: waitingFor.length,
    waitingFor: [...waitingFor],
    elapsedMs: elapsed.length === 0 ? null : Math.max(...elapsed),
    ...sumOf(receipts.map(({ result }) => result)),
    receipts: receipts.map(({ processId, appliedAt, result }) => ({
      processId,
      appliedAt: appliedAt.toISOString(),
      elapsedMs: sinceChange(progress, appliedAt),
      ...sumOf([result]),
    })),
  };
}

function sinceChange({ recordedAt }: ChangeProgress, at: Date): number {
  return Math.max(0, at.getTime() - recordedAt.getTime());
}

/** A counter that the process did not know of, when it was of an earlier version, is 0. */
function sumOf(results: readonly Partial<Receipt>[]): Receipt {
  const sum = (counter: keyof Receipt): number =>
    results.reduce((total, result) => total + (result[counter] ?? 0), 0);
  return Object.fromEntries(counters.map((counter) => [counter, sum(counter)])) as unknown as Receipt;
}
