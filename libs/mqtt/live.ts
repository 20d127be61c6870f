/** Who is connected, and what they are subscribed to: of sessions that end with their connection nobody knows that but this process. */
import type { Subscription } from './message.js';
import type { Principal } from './ports.js';
import type { Session } from './session.js';
import type { Space } from './space.js';

export interface LiveSession {
  readonly principal: Principal;
  readonly isDurable: boolean;
  readonly subscriptions: readonly Subscription[];
}

export interface LiveSessions {
  readonly sessions: readonly LiveSession[];
  /** False: there are more than were asked for. */
  readonly isComplete: boolean;
}

export interface LiveQuestion {
  readonly concerns: (principal: Principal) => boolean;
  readonly mostSessions: number;
  /** Of all these sessions together, and in the letters of their filters. */
  readonly mostSubscriptions: number;
  readonly mostLetters: number;
}

/** A step for each session and each subscription: however many there are, the others have their turns in between. */
export async function liveSessionsOf(space: Space, question: LiveQuestion): Promise<LiveSessions> {
  const sessions: LiveSession[] = [];
  const looking = look(space.sessions.values(), question, sessions);
  let isComplete = true;
  const rest = space.turns.work(() => {
    const { done, value } = looking.next();
    space.turns.spend(1);
    if (done === true) isComplete = value;
    return done !== true;
  });
  if (rest !== undefined) await rest;
  return { sessions, isComplete };
}

/** Returns whether that was all. */
function* look(
  all: Iterable<Session>,
  { concerns, mostSessions, mostSubscriptions, mostLetters }: LiveQuestion,
  found: LiveSession[],
): Generator<undefined, boolean> {
  let subscriptionsLeft = mostSubscriptions;
  let lettersLeft = mostLetters;
  for (const { principal, isDurable, connection, subscriptions: held } of all) {
    yield undefined;
    if (connection === undefined || !concerns(principal)) continue;
    if (found.length >= mostSessions) return false;
    const subscriptions: Subscription[] = [];
    found.push({ principal, isDurable, subscriptions });
    for (const subscription of held.values()) {
      subscriptionsLeft -= 1;
      lettersLeft -= subscription.filter.length;
      if (subscriptionsLeft < 0 || lettersLeft < 0) return false;
      subscriptions.push(subscription);
      yield undefined;
    }
  }
  return true;
}
