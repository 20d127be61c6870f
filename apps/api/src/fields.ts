/** Members that mean the same in every resource. */
import { z } from 'zod';
import { filterFault, isTopicWord } from '#access';

/** For people: anything that prints. */
export const displayName = z
  .string()
  .trim()
  .min(1)
  .max(200)
  .refine(isPrintable, { message: 'No control characters.', params: { code: 'forbidden-character' } });

/** What a variable of a topic stands for: one level, never a wildcard. PostgreSQL checks the same. */
export const topicWord = z
  .string()
  .min(1)
  .max(200)
  .refine(isTopicWord, {
    message: 'It becomes one level of a topic: no + # /, no control characters or non-characters.',
    params: { code: 'forbidden-character' },
  });

/** What a subscriber would write; no $share, no variables. */
export const topicFilter = z
  .string()
  .max(1_024)
  .refine((filter) => filterFault(filter) === undefined, {
    params: { code: 'topic-filter' },
    error: 'In a topic filter + and # fill a level of their own; # is the last level.',
  })
  .describe('MQTT topic filter');

/** No C0 or C1 control character and no half of a surrogate pair. */
function isPrintable(text: string): boolean {
  return text.isWellFormed() && !/\p{Cc}/u.test(text);
}

/**
 * A time a client sends, with an offset: a time without one is nobody's. PostgreSQL knows no year 0; five digits are no RFC 3339.
 * `abort`: a check of the whole object would otherwise be given the text that is no time.
 */
export const instant = z.iso
  .datetime({
    offset: true,
    abort: true,
    error: 'A time with its zone: 2026-11-30T12:00:00Z, or …+01:00, whose + is %2B in a query',
  })
  .transform((text) => new Date(text))
  .refine((time) => time.getUTCFullYear() >= 1 && time.getUTCFullYear() <= 9_999, {
    message: 'Between the years 1 and 9999.',
    params: { code: 'out-of-range' },
  });

/** A member that a PUT may bring back as GET has shown it, and that it does not change. */
export function asShown<T extends z.ZodType>(member: T) {
  return member.optional().describe('As it was read: it is not changed, and If-Match says what is expected');
}

/** Members of every answer. */
export const stamps = {
  version: z.int().describe('As in ETag'),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
} as const;

export function presentStamps(row: { version: number; createdAt: Date; updatedAt: Date }) {
  return {
    version: row.version,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}
