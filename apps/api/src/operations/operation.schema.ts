import { z } from 'zod';
import type { ChangeProgress } from '#store';

/** Numbers of changes; a text that is none names nothing. */
export const operationPath = z
  .string()
  .regex(/^[1-9]\d{0,17}$/)
  .transform(BigInt);

export const operationView = z
  .object({
    number: z.string(),
    kind: z.string().describe('What kind of thing was changed'),
    status: z
      .enum(['applying', 'applied'])
      .describe(
        'applied: every broker process that lives has it in force; one that starts later reads the new rights',
      ),
    createdAt: z.iso.datetime(),
    waitingFor: z.array(z.uuid()).describe('Broker processes that have not confirmed it yet'),
    sessionsTouched: z.int(),
    subscriptionsRemoved: z.int(),
    connectionsClosed: z.int(),
    willsSuppressed: z.int(),
    receipts: z.array(
      z.object({
        processId: z.uuid(),
        appliedAt: z.iso.datetime(),
        elapsedMs: z.int().describe('From the change to this process having applied it'),
        sessionsTouched: z.int(),
        subscriptionsRemoved: z.int(),
        connectionsClosed: z.int(),
        willsSuppressed: z.int(),
      }),
    ),
  })
  .meta({ id: 'Operation' });

const counters = ['sessionsTouched', 'subscriptionsRemoved', 'connectionsClosed', 'willsSuppressed'] as const;

export function presentOperation(progress: ChangeProgress): z.input<typeof operationView> {
  const total = (counter: (typeof counters)[number]): number =>
    progress.receipts.reduce((sum, { result }) => sum + result[counter], 0);
  return {
    number: String(progress.number),
    kind: progress.kind,
    status: progress.waitingFor.length === 0 ? 'applied' : 'applying',
    createdAt: progress.recordedAt.toISOString(),
    waitingFor: [...progress.waitingFor],
    sessionsTouched: total('sessionsTouched'),
    subscriptionsRemoved: total('subscriptionsRemoved'),
    connectionsClosed: total('connectionsClosed'),
    willsSuppressed: total('willsSuppressed'),
    receipts: progress.receipts.map(({ processId, appliedAt, result }) => ({
      processId,
      appliedAt: appliedAt.toISOString(),
      elapsedMs: Math.max(0, appliedAt.getTime() - progress.recordedAt.getTime()),
      ...result,
    })),
  };
}
