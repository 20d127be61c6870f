/**
 * The statements of a batch: one for each kind of change, whatever the number of rows, prepared once a connection.
 *
 * Rows come as binary arrays and `unnest`. Measured for telemetry of 110 bytes on 2 shared cores with fsync on, rows a second at
 * 5 000 / 1 000 / 100 rows a commit: COPY as text 50 K / 46 K / 27 K, COPY binary 63 K / 51 K / 26 K, unnest of binary arrays 43 K / 44 K / 32 K,
 * COPY into a temporary table and INSERT from it 34–60 K / 33–39 K / 14–16 K, unnest of arrays as text 32 K / 36 K / 23 K. COPY is refused on a
 * table with row-level security, which is a fence we keep, and saves little once a batch must take one round trip.
 */

import type { Batch, Effects, SessionWrites } from '../batch.js';
import { countDenials } from './denials.js';
import { followPresence } from './presence.js';
import { appendMessages, changeEntries } from './queues.js';
import { retain } from './retained.js';
import { changeInbound, changeSubscriptions, releaseSessions, removeSessions } from './sessions.js';
import type { Statement } from './statement.js';
import { insertTelemetry } from './telemetry.js';
import { keepWills } from './wills.js';

/** In the order in which they must run; none for what has no rows. */
export function changes(batch: Batch, effects: Effects, processId: string): Statement[] {
  const live: SessionWrites[] = [];
  const removed: SessionWrites[] = [];
  for (const session of batch.sessions.values()) {
    if (session.removed) removed.push(session);
    else if (session.state === 'current') live.push(session);
  }
  const statements: Statement[] = [];
  if (removed.length > 0) statements.push(removeSessions(removed));
  if (live.length > 0) changeSessions(statements, live, effects);
  if (effects.retained.size > 0) retain(statements, effects.retained);
  if (batch.wills.size > 0) keepWills(statements, batch.wills, processId);
  if (effects.readings.length > 0) statements.push(insertTelemetry(effects.readings));
  if (effects.presence.length > 0) followPresence(statements, effects, processId);
  if (effects.denials.length > 0) statements.push(countDenials(effects.denials));
  return statements;
}

function changeSessions(statements: Statement[], sessions: readonly SessionWrites[], effects: Effects): void {
  changeSubscriptions(statements, sessions);
  if (effects.messages.length > 0) appendMessages(statements, sessions, effects);
  changeEntries(statements, sessions);
  changeInbound(statements, sessions);
  releaseSessions(statements, sessions);
}
