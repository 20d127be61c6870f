/** Rights have changed: live sessions are held against the rights of now, and what that did is counted. */
import type { Grant, Policy, Principal, Receipt, Refusal } from './ports.js';
import { Reasons, type Reason } from './reason.js';
import { reviewSubscriptions } from './rights.js';
import type { Session } from './session.js';
import type { Space } from './space.js';

export type Tally = { -readonly [Name in keyof Receipt]: Receipt[Name] };

export function nothingDone(): Tally {
  return {
    sessionsTouched: 0,
    subscriptionsRemoved: 0,
    connectionsClosed: 0,
    willsSuppressed: 0,
    willsSent: 0,
    retainedCleared: 0,
  };
}

/**
 * The rights of now of who has these, after a change that has left everything else as it was. The same object: the change does not
 * concern them. Undefined: only the Gate can say.
 */
export type Renewal = (policy: Policy) => Policy | Refusal | undefined;

/** Asks the Gate. `version`: of the change. False: the store is down and says nothing; the rights of before hold until it can be asked. */
export async function reviewSession(session: Session, version: number, tally: Tally): Promise<boolean> {
  const { principal, epoch, signIns } = session;
  session.reviewsUnderWay += 1;
  const answer = await session.space.gate.review(principal);
  session.reviewsUnderWay -= 1;
  // Whoever left has no rights to review, and whoever signs in meanwhile notices the change of rights. Of two answers under
  // way at once the one that was asked for later holds, whichever comes first.
  const isOther = session.epoch !== epoch || session.signIns !== signIns;
  if (session.hasEnded || isOther || session.rightsVersion > version) return true;
  if (answer.kind === 'refused' && answer.reason === Reasons.serverUnavailable) return false;
  session.rightsVersion = version;
  tally.sessionsTouched += 1;
  if (answer.kind === 'refused') showOut(session, answer.reason, tally);
  else await use(session, answer, tally);
  return true;
}

/** Of those asked about, given other rights, and then reviewed, in one turn of the loop: some milliseconds, which everybody else waits for. */
const askedInOneTurn = 500;
const swappedInOneTurn = 2_000;
const reviewedInOneTurn = 200;

/** Asks the Gate about each of them. */
export async function reviewSessions(
  space: Space,
  sessions: readonly Session[],
  version: number,
  tally: Tally,
): Promise<void> {
  const pieces: Promise<unknown>[] = [];
  for (let at = 0; at < sessions.length; at += askedInOneTurn) {
    if (at > 0) await new Promise<void>((resolve) => space.clock.soon(resolve));
    const piece = sessions.slice(at, at + askedInOneTurn).filter(({ hasEnded }) => !hasEnded);
    const asked = Promise.all(piece.map((session) => reviewSession(session, version, tally)));
    asked.catch(() => undefined); // told below, when all have been asked about
    pieces.push(asked);
  }
  await Promise.all(pieces);
}

/**
 * Without asking the store for each session: one policy is often that of ten thousand. First of all everybody gets the new rights, so
 * that what was taken away is gone for all of them within a few turns: what they publish, and what they are sent, is held against
 * those at once (`Session.isEntitledTo`). Only then, which takes ten times as long, their subscriptions and wills are looked through.
 */
export async function renewSessions(
  space: Space,
  renew: Renewal,
  version: number,
  tally: Tally,
): Promise<void> {
  const toAsk: Session[] = [];
  const renewed: Session[] = [];
  const refused: Refused[] = [];
  const sessions = Array.from(space.sessions.values());
  await inTurns(space, sessions, swappedInOneTurn, (session) => {
    if (session.hasEnded || session.rightsVersion > version) return;
    // What a review under way has asked about may be more than this change: its answer must not be overtaken by less.
    const answer = session.reviewsUnderWay > 0 ? undefined : renew(session.policy);
    if (answer === undefined) return void toAsk.push(session);
    if (answer === session.policy) return;
    session.rightsVersion = version;
    tally.sessionsTouched += 1;
    if ('kind' in answer)
      return void refused.push({ session, signIns: session.signIns, reason: answer.reason });
    session.policy = answer;
    session.unreviewed += 1;
    session.connection?.forgetRights();
    renewed.push(session);
  });
  await Promise.all([
    reviewSessions(space, toAsk, version, tally),
    lookThrough(space, renewed, refused, tally),
  ]);
}

interface Refused {
  readonly session: Session;
  /** Whoever has come for it since has been judged anew. */
  readonly signIns: number;
  readonly reason: Reason;
}

async function lookThrough(
  space: Space,
  renewed: readonly Session[],
  refused: readonly Refused[],
  tally: Tally,
): Promise<void> {
  await inTurns(space, refused, reviewedInOneTurn, ({ session, signIns, reason }) => {
    if (!session.hasEnded && session.signIns === signIns) showOut(session, reason, tally);
  });
  await inTurns(space, renewed, reviewedInOneTurn, (session) => {
    const rest = session.hasEnded ? undefined : review(session, tally);
    session.unreviewed -= 1;
    return rest; // a promise for each of ten thousand sessions is a good part of what they cost
  });
}

async function inTurns<Item>(
  { clock }: Space,
  items: readonly Item[],
  inOneTurn: number,
  handle: (item: Item) => Promise<void> | undefined | void,
): Promise<void> {
  for (const [index, item] of items.entries()) {
    if (index > 0 && index % inOneTurn === 0) await new Promise<void>((resolve) => clock.soon(resolve));
    const rest = handle(item);
    if (rest !== undefined) await rest;
  }
}

async function use(session: Session, granted: Grant, tally: Tally): Promise<void> {
  const { connection, clientId } = session;
  const grant = { ...granted, principal: { ...granted.principal, clientId } };
  if (connection === undefined) {
    session.principal = grant.principal;
    session.policy = grant.policy;
    session.limits = grant.limits;
  } else {
    connection.use(grant);
  }
  await review(session, tally);
}

/** Undefined: it was done at once. */
function review(session: Session, tally: Tally): Promise<void> | undefined {
  const will = session.connection?.will;
  if (will !== undefined && !session.policy.publishRight(will.topic).allowed) dropWill(session, tally);
  const removed = reviewSubscriptions(session);
  if (typeof removed !== 'number') return removed.then((count) => void (tally.subscriptionsRemoved += count));
  tally.subscriptionsRemoved += removed;
  return undefined;
}

/** A session that is away stays as it is: whoever comes for it is asked who it is. */
function showOut(session: Session, reason: Reason, tally: Tally): void {
  const { connection } = session;
  if (connection === undefined) return;
  if (connection.will !== undefined) dropWill(session, tally);
  connection.end(reason, 'kicked');
  tally.connectionsClosed += 1;
}

function dropWill(session: Session, tally: Tally): void {
  const { connection, space, principal, epoch } = session;
  if (connection === undefined) return;
  connection.will = undefined;
  space.wills.discard(principal, epoch);
  tally.willsSuppressed += 1;
}

/** Who they were is gone for good: connections, sessions that are away, and wills that wait. Resolves when nothing of them is left. */
export async function expel(
  space: Space,
  concerns: (principal: Principal) => boolean,
  tally: Tally,
): Promise<void> {
  const expelled = Array.from(space.sessions.values()).filter((session) => concerns(session.principal));
  for (const session of expelled) {
    tally.sessionsTouched += 1;
    showOut(session, Reasons.notAuthorized, tally);
  }
  space.wills.suppress(concerns, tally);
  for (const session of expelled) space.end(session);
  await Promise.all(expelled.flatMap(({ clientId }) => space.leaving.get(clientId)?.gone ?? []));
}

/** Somebody who may come back is shown out: its will is due. */
export async function disconnect(session: Session | undefined, reason: Reason, tally: Tally): Promise<void> {
  const connection = session?.connection;
  if (session === undefined || connection === undefined) return;
  connection.end(reason, 'kicked');
  tally.sessionsTouched += 1;
  tally.connectionsClosed += 1;
  const outcome = await session.space.wills.underWay(session.clientId);
  if (outcome === 'sent') tally.willsSent += 1;
  else if (outcome === 'suppressed') tally.willsSuppressed += 1;
}
