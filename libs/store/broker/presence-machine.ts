/**
 * Presence as a state machine, one for each client identifier: never seen → online → offline → online …. The epoch is the
 * connection's turn: whatever an earlier one still says is history. Within one epoch a client comes once and goes once, and how it
 * went first is how it went. Suspended is not a state of this machine but of the device's or tenant's right to be here, and covers
 * every state; see device-presence.ts.
 *
 * `turnInStore` is the same rule for PostgreSQL, which knows what other processes have written.
 */
import type { PresenceEvent } from '#mqtt';

export type ClientPresence = Pick<PresenceEvent, 'epoch' | 'state'>;

/** Whether the event changes what is known of its client; undefined: the client has never been seen. */
export function isInTurn(current: ClientPresence | undefined, event: ClientPresence): boolean {
  if (current === undefined || event.epoch > current.epoch) return true;
  return event.epoch === current.epoch && current.state === 'online' && event.state === 'offline';
}

/** Of the row `before` and the row `event`. */
export const turnInStore = (before: string, event: string): string =>
  `(${event}.epoch > ${before}.epoch OR (${event}.epoch = ${before}.epoch AND ${before}.state = 'online' AND ${event}.state = 'offline'))`;
