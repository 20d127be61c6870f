/**
 * Hours of the week in a place's own time: `{ "days": ["mon", "fri"], "from": "22:00", "to": "06:00", "zone": "Europe/Berlin" }`.
 * A window that ends before it begins goes on past midnight, and belongs to the day on which it begins. Clocks that are put
 * forward or back are those of the place: 08:00 is 08:00 on both sides.
 */
import { Temporal } from 'temporal-polyfill';
import { z } from 'zod';

const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
const clock = /^([01]\d|2[0-3]):[0-5]\d$/;

export const timeWindowSchema = z
  .strictObject({
    days: z.array(z.enum(days)).min(1).max(7).optional(),
    from: z.string().regex(clock, 'A time of day, 00:00 to 23:59.'),
    to: z.string().regex(/^(([01]\d|2[0-3]):[0-5]\d|24:00)$/, 'A time of day, 00:00 to 24:00.'),
    zone: z
      .string()
      .max(64)
      .refine(isZone, {
        message: 'A time zone by its IANA name, like Europe/Berlin.',
        params: { code: 'unknown-zone' },
      })
      .default('UTC'),
  })
  .refine(({ from, to }) => from !== to, { path: ['to'], message: 'The window is empty.' });

export type TimeWindow = z.output<typeof timeWindowSchema>;

export interface WindowState {
  readonly isOpen: boolean;
  /** When that changes next, milliseconds since the epoch. */
  readonly until: number;
}

/** Whether the window is open, and until when that stays so. */
export function windowAt(window: TimeWindow, now: number): WindowState {
  const { zone, from, to } = window;
  const today = Temporal.Instant.fromEpochMilliseconds(now).toZonedDateTimeISO(zone).toPlainDate();
  // Yesterday's may still be open, and a weekly one comes again within eight days.
  for (let offset = -1; offset <= 8; offset += 1) {
    const date = today.add({ days: offset });
    const day = days[date.dayOfWeek - 1];
    if (day === undefined || (window.days !== undefined && !window.days.includes(day))) continue;
    const begin = instantOf(date, from, zone);
    const end = to === '24:00' ? instantOf(date.add({ days: 1 }), '00:00', zone) : endOf(date, window);
    if (now < begin) return { isOpen: false, until: begin };
    if (now < end) return { isOpen: true, until: end };
  }
  // Never reached: one of ten days in a row is one of the window's. Closed, and looked at again, should it be.
  return { isOpen: false, until: now + 86_400_000 };
}

function endOf(date: Temporal.PlainDate, { from, to, zone }: TimeWindow): number {
  return instantOf(to > from ? date : date.add({ days: 1 }), to, zone);
}

/** A time that the clocks leave out is the moment they are put forward; of one that comes twice, it is the first. */
function instantOf(date: Temporal.PlainDate, time: string, zone: string): number {
  return date.toZonedDateTime({ timeZone: zone, plainTime: Temporal.PlainTime.from(time) }).epochMilliseconds;
}

function isZone(zone: string): boolean {
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(zone);
    return true;
  } catch {
    return false;
  }
}
