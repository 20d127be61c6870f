/**
 * From CONNECT to CONNACK: who is it (the Gate), where do they belong (the space), may they come in (limits, client
 * identifier, will), and what did they leave behind (the session). Each step may end the connection; nothing the client sends
 * meanwhile is read.
 */
import { randomBytes } from 'node:crypto';

import type { Connection } from '../connection.js';
import { encodeConnack, encodePublishHead } from '../encode.js';
import { Hold } from '../hold.js';
import type { Limits } from '../limits.js';
import type { ClientId, ProtocolVersion, Will } from '../message.js';
import type { ConnectPacket } from '../packets.js';
import type { ClaimedSession, Grant, Link, Principal, Refusal, SignIn } from '../ports.js';
import { Reasons, type Reason } from '../reason.js';
import { isRefused } from '../vault-errors.js';
import { mayPublish, reviewSubscriptions, serversTopic, whyNot } from '../rights.js';
import { Session } from '../session.js';
import type { Space } from '../space.js';
import { isDollarTopic, isWithinLimits } from '../topic.js';
import { converse, type Outcome } from './auth.js';

interface Admission {
  readonly packet: ConnectPacket;
  readonly grant: Grant;
  readonly space: Space;
  /** The last Authentication Data for the client. */
  readonly data: Buffer | undefined;
  readonly expiryIntervalS: number;
  /** Of the moment before the Gate was asked. */
  readonly rightsVersion: number;
}

export function connect(connection: Connection, packet: ConnectPacket): void {
  connection.intake.holdBriefly(Hold.signIn);
  connection.requestedExpiryS = packet.sessionExpiryIntervalS;
  connection.maximumPacketSize = packet.maximumPacketSize ?? Number.MAX_SAFE_INTEGER;
  signIn(connection, packet).catch((error: unknown) => connection.fail(error));
}

async function signIn(connection: Connection, packet: ConnectPacket): Promise<void> {
  const { rightsVersion } = connection.broker;
  const outcome = await ask(connection, packet);
  if (connection.isClosed) return;
  if (!('grant' in outcome)) return refuse(connection, packet, outcome);
  const { data } = outcome;
  let grant = withClientId(outcome.grant);
  const space = await openSpace(connection, grant);
  if (connection.isClosed) return;
  if (space === undefined) return refuse(connection, packet, unavailable(grant));
  let refusal = examine(connection, packet, grant, space);
  if (refusal !== undefined && grant.isRemembered === true) {
    // What refuses it may have been widened, and this process not have heard of that yet.
    const answer = await connection.broker.gate.review(grant.principal);
    if (connection.isClosed) return;
    if (answer.kind === 'refused') return refuse(connection, packet, answer);
    grant = answer;
    refusal = examine(connection, packet, grant, space);
  }
  if (refusal !== undefined) return refuse(connection, packet, refusal);
  const expiryIntervalS = Math.min(packet.sessionExpiryIntervalS, grant.limits.maxSessionExpiryS);
  await arrive(connection, { packet, grant, space, data, expiryIntervalS, rightsVersion });
}

// --------------------------------------------------------------------------------------------------------- who is it

async function ask(connection: Connection, packet: ConnectPacket): Promise<Outcome> {
  const { gate } = connection.broker;
  const request: SignIn = connection.signInAs(packet.clientId, packet.username, packet.password);
  const method = packet.authenticationMethod;
  if (method === undefined) {
    const answer = await gate.admit(request);
    return answer.kind === 'granted' ? { grant: answer, data: undefined } : answer;
  }
  const exchange = gate.exchange(method, request);
  if (exchange === undefined) {
    // MQTT-4.12.0-1
    const reason = Reasons.badAuthenticationMethod;
    return { kind: 'refused', reason, detail: 'authentication method not offered', tenantId: undefined };
  }
  connection.authenticationMethod = method;
  return converse(connection, exchange, method, packet.authenticationData);
}

/** MQTT-3.1.3-6, -7: an identifier for whoever brought none, unguessable, because it is the key to a session. */
function withClientId(grant: Grant): Grant {
  if (grant.principal.clientId !== '') return grant;
  const clientId = `auto-${randomBytes(16).toString('hex')}` as ClientId;
  return { ...grant, principal: { ...grant.principal, clientId } };
}

async function openSpace(connection: Connection, grant: Grant): Promise<Space | undefined> {
  try {
    return await connection.broker.space(grant.principal.tenantId);
  } catch {
    return undefined; // the store is down; the next sign-in tries again
  }
}

function unavailable(grant: Grant): Refusal {
  const { tenantId } = grant.principal;
  return {
    kind: 'refused',
    reason: Reasons.serverUnavailable,
    detail: 'the store is not available',
    tenantId,
  };
}

/** It would be refused every time. */
function unstorable(grant: Grant): Refusal {
  const { tenantId, deviceId } = grant.principal;
  const detail = 'the store cannot hold this client identifier, or this will';
  return { kind: 'refused', reason: Reasons.clientIdentifierNotValid, detail, tenantId, deviceId };
}

function refuse(connection: Connection, packet: ConnectPacket, refusal: Refusal): void {
  const { broker, link } = connection;
  const { tenantId, deviceId, reason, detail } = refusal;
  broker.refused += 1;
  if (tenantId !== undefined) {
    broker.journal.denied({
      tenantId,
      deviceId,
      clientId: packet.clientId,
      username: packet.username ?? '',
      remoteAddress: link.remoteAddress,
      action: 'connect',
      topic: '',
      reason,
      detail,
      at: broker.clock.now(),
    });
  }
  connection.end(reason, 'network');
}

// --------------------------------------------------------------------------------------------------- may they come in

function examine(
  connection: Connection,
  packet: ConnectPacket,
  grant: Grant,
  space: Space,
): Refusal | undefined {
  const { limits, principal } = grant;
  const { clientId, tenantId } = principal;
  const no = (reason: Reason, detail: string): Refusal => ({ kind: 'refused', reason, detail, tenantId });
  if (connection.broker.isStopping) return no(Reasons.serverUnavailable, 'the server is stopping');
  if (Buffer.byteLength(clientId) > limits.maxClientIdBytes) {
    return no(Reasons.clientIdentifierNotValid, 'client identifier over the limit');
  }
  const known = space.sessions.get(clientId);
  if (grant.withoutStore === true && needsStore(packet, known)) {
    return no(Reasons.serverUnavailable, 'a durable session or a will, and the store is not available');
  }
  const isKnown = known?.connection !== undefined;
  if (!isKnown && space.connections.size + space.arriving.size >= limits.maxConnections) {
    return no(Reasons.quotaExceeded, 'connections over the limit');
  }
  const staysOn = packet.sessionExpiryIntervalS > 0 && limits.maxSessionExpiryS > 0;
  const isNew = !space.sessions.has(clientId);
  if (staysOn && isNew && space.sessions.size + space.arriving.size >= limits.maxSessions) {
    return no(Reasons.quotaExceeded, 'sessions over the limit');
  }
  if (grant.expiresAt !== undefined && grant.expiresAt <= space.clock.now()) {
    return no(Reasons.notAuthorized, 'the credential has ended');
  }
  return packet.will && examineWill(packet.will, packet.protocolVersion, grant);
}

/** A session or will that was not stored would be lost with the process. */
function needsStore({ sessionExpiryIntervalS, will }: ConnectPacket, known: Session | undefined): boolean {
  return sessionExpiryIntervalS > 0 || will !== undefined || known?.isDurable === true;
}

/** A will that could never be published is told now, and not found missing later. */
function examineWill(
  will: Will,
  version: ProtocolVersion,
  { limits, policy, principal: { tenantId } }: Grant,
): Refusal | undefined {
  const no = (reason: Reason, detail: string): Refusal => ({ kind: 'refused', reason, detail, tenantId });
  if (!isWithinLimits(will.topic, limits.maxTopicBytes, limits.maxTopicLevels)) {
    return no(Reasons.topicNameInvalid, 'will topic over the limit');
  }
  if (bytesOfWill(will, version) > limits.maxPacketBytes) {
    return no(Reasons.packetTooLarge, 'will over the size limit');
  }
  if ((will.properties?.userProperties?.length ?? 0) > limits.maxUserProperties) {
    return no(Reasons.quotaExceeded, 'will: more User Properties than allowed');
  }
  if (will.retain && limits.maxRetainedMessages === 0) return no(Reasons.retainNotSupported, 'retained will');
  const right = isDollarTopic(will.topic) ? serversTopic : policy.publishRight(will.topic);
  if (!mayPublish(right, will)) {
    return no(Reasons.notAuthorized, `will: ${whyNot(right, will)}`);
  }
  return undefined;
}

/** As large as the PUBLISH that its owner would have sent instead. */
function bytesOfWill(will: Will, version: ProtocolVersion): number {
  const payloadBytes = will.payload.length;
  const asPublished = {
    ...will,
    version,
    payloadBytes,
    dup: false,
    subscriptionIds: [],
    topicAlias: undefined,
  };
  return encodePublishHead(asPublished).bytes.length + payloadBytes;
}

// --------------------------------------------------------------------------------------------------- what they left

/**
 * Newcomers with one client identifier take their turns, so that no two of them act for it at once. Each is let in to the end,
 * and taken over by the next (MQTT-3.1.4-3): the newest stays.
 */
function arrive(connection: Connection, admission: Admission): Promise<void> {
  const { arriving } = admission.space;
  const { clientId } = admission.grant.principal;
  const before = arriving.get(clientId);
  const arrival =
    before === undefined
      ? takeSession(connection, admission)
      : before.then(() => takeSession(connection, admission));
  // Who was let in at once, or turned away, is nobody's to wait for; and it must not be counted beside its connection.
  if (connection.state !== 'signing-in') return arrival;
  const gone = (): void => {
    if (arriving.get(clientId) === turn) arriving.delete(clientId);
  };
  const turn = arrival.then(gone, gone); // its failure is its own connection's
  arriving.set(clientId, turn);
  return arrival;
}

/** What a newcomer finds of the session of its client identifier. */
interface Found {
  /** What this process has of it, to go on with. */
  readonly known: Session | undefined;
  /** What this process had of it, which Clean Start has ended. */
  readonly ended: Session | undefined;
  /** The newcomer's: what was written for those before it is under a lower one. */
  readonly epoch: number;
}

/** Awaits nothing that need not be waited for: who wants nothing stored, and finds nobody, is let in within the turn. */
async function takeSession(connection: Connection, admission: Admission): Promise<void> {
  const { space, grant, packet, expiryIntervalS } = admission;
  if (connection.isClosed) return; // while it waited for its turn
  if (!takeOver(space, grant)) return refuse(connection, packet, heldOff(grant));
  const isGone = whenGone(admission);
  const isFree = isGone === undefined || (await isGone);
  if (connection.isClosed) return;
  if (!isFree) return refuse(connection, packet, unavailable(grant));
  const found = find(admission);
  const due = space.wills.settleDue(grant.principal.clientId);
  if (due !== undefined && (await due) === 'later') {
    leaveSession(space, found);
    return refuse(connection, packet, unavailable(grant));
  }
  let claimed: ClaimedSession | undefined;
  try {
    const stored = store(admission, found);
    if (stored !== undefined) claimed = await stored;
  } catch (error) {
    space.wills.turnedAway(grant.principal, found.epoch);
    leaveSession(space, found);
    const isForGood = error instanceof Error && isRefused(error);
    return refuse(connection, packet, isForGood ? unstorable(grant) : unavailable(grant));
  }
  const session = seat(admission, found, claimed);
  if (claimed !== undefined) await restore(space, session, claimed, session === found.known);
  session.expiryIntervalS = expiryIntervalS;
  let current: Admission | Refusal = admission;
  while (!('kind' in current) && !connection.isClosed && space.rightsVersion > current.rightsVersion)
    current = await askAgain(connection, current, session);
  session.reviewed();
  if (connection.isClosed || 'kind' in current) {
    turnAway(connection, admission, session);
    if ('kind' in current) refuse(connection, packet, current);
    return;
  }
  welcome(connection, current, session, claimed?.resumed === true);
}

/** Whoever has the session is shown out (MQTT-3.1.4-3), and it may end with that. False: the client identifier is fought over. */
function takeOver(space: Space, { principal: { clientId }, limits }: Grant): boolean {
  const incumbent = space.sessions.get(clientId)?.connection;
  if (incumbent === undefined) return true;
  if (!space.contests.take(clientId, limits.maxTakeovers, space.clock.now())) {
    space.stats.heldOff += 1;
    return false;
  }
  incumbent.end(Reasons.sessionTakenOver, 'taken-over');
  return true;
}

/** Until whoever had the session has left it; undefined: nobody is leaving. False: that takes longer than a newcomer should wait. */
function whenGone({ space, grant, packet }: Admission): Promise<boolean> | undefined {
  const { clientId } = grant.principal;
  const ends = (): Promise<boolean> | undefined => {
    const known = space.sessions.get(clientId);
    if (known === undefined || !packet.cleanStart || space.sharedOf(known).length === 0) return undefined;
    space.end(known); // and hands on what its shared subscriptions left, before the claim empties it
    return space.leaving.get(clientId)?.isGoneSoon;
  };
  const leaving = space.leaving.get(clientId);
  return leaving === undefined ? ends() : leaving.isGoneSoon.then((isGone) => ends() ?? isGone);
}

/** A session that goes on is queued for, from here on under the newcomer's epoch; one that Clean Start ends is not (MQTT-3.1.2-4). */
function find({ space, grant, packet, expiryIntervalS }: Admission): Found {
  const epoch = space.nextEpoch();
  const session = space.sessions.get(grant.principal.clientId);
  if (session === undefined) return { known: undefined, ended: undefined, epoch };
  if (packet.cleanStart) {
    space.forget(session);
    if (expiryIntervalS === 0) space.vault.remove(session.key); // else the claim empties it
    return { known: undefined, ended: session, epoch };
  }
  session.epoch = epoch;
  space.keep(session);
  return { known: session, ended: undefined, epoch };
}

/** The session, where it outlives a connection, and the will (MQTT-3.1.2-7), together. Undefined: there is nothing to store. */
function store(
  { space, grant, packet, expiryIntervalS }: Admission,
  { known, epoch }: Found,
): Promise<ClaimedSession | undefined> | undefined {
  const { principal } = grant;
  const isDurable = known !== undefined || expiryIntervalS > 0;
  const claim = isDurable
    ? space.vault.claim(principal, epoch, expiryIntervalS, packet.cleanStart)
    : undefined;
  const will = space.wills.replace(principal, epoch, packet.will);
  if (claim === undefined && will === undefined) return undefined;
  return Promise.all([claim, will]).then(([claimed]) => claimed);
}

/** The newcomer is turned away before it has the session: that waits on, or has ended. */
function leaveSession(space: Space, { known, ended, epoch }: Found): void {
  if (known !== undefined) space.park(known);
  // Nothing is queued for it any more: found again, it would have a gap. Under this epoch, for the claim may be stored all the same.
  if (ended !== undefined) space.vault.remove({ ...ended.key, epoch });
}

/** There was no CONNACK: there is no will, and a session that may be come back for waits for that. */
function turnAway(
  connection: Connection,
  { space, grant, expiryIntervalS }: Admission,
  session: Session,
): void {
  const { principal } = grant;
  space.wills.turnedAway(principal, session.epoch);
  const mayReturn =
    session.isDurable && expiryIntervalS > 0 && !connection.broker.isExpelled(principal.deviceId);
  if (mayReturn) space.park(session);
  else space.end(session);
}

/**
 * A right has changed since the Gate was asked. Who has it no more must not come in by it: what was sent behind CONNECT would be
 * accepted, and what waits be sent, when the receipt of the change has been written.
 */
async function askAgain(
  connection: Connection,
  admission: Admission,
  session: Session,
): Promise<Admission | Refusal> {
  const { broker } = connection;
  const { packet } = admission;
  const { rightsVersion } = broker;
  const grant = await broker.grantOfNow(admission.grant);
  if (grant.kind === 'refused') return grant;
  const refusal = packet.will && examineWill(packet.will, packet.protocolVersion, grant);
  if (refusal !== undefined) return refusal;
  give(session, grant);
  await reviewSubscriptions(session);
  return { ...admission, grant, rightsVersion };
}

function heldOff({ principal, limits }: Grant): Refusal {
  return {
    kind: 'refused',
    reason: Reasons.connectionRateExceeded,
    detail: `the client identifier is fought over: it was taken ${limits.maxTakeovers} times within a minute`,
    tenantId: principal.tenantId,
    deviceId: principal.deviceId,
  };
}

/** The session that there is, or a new one, with the rights of now. */
function seat(
  { space, grant }: Admission,
  { known, epoch }: Found,
  claimed: ClaimedSession | undefined,
): Session {
  const { principal, policy, limits } = grant;
  if (known !== undefined && claimed?.resumed !== true) space.forget(known);
  const session =
    known === undefined || known.hasEnded
      ? new Session(space, principal, policy, limits, epoch, claimed !== undefined)
      : known;
  session.signIns += 1;
  give(session, grant);
  space.sessions.set(session.clientId, session);
  return session;
}

function give(session: Session, { principal, policy, limits }: Grant): void {
  session.principal = principal;
  session.policy = policy;
  session.limits = limits;
}

/** What the vault has of it. `isKnown`: this process has had it all the while. */
async function restore(
  space: Space,
  session: Session,
  claimed: ClaimedSession,
  isKnown: boolean,
): Promise<void> {
  space.sawEpoch(claimed.epoch);
  session.restore(claimed, isKnown);
  if (!isKnown) await space.resubscribe(session, claimed.subscriptions);
  await reviewSubscriptions(session);
}

function welcome(
  connection: Connection,
  admission: Admission,
  session: Session,
  sessionPresent: boolean,
): void {
  const { packet, grant, space, expiryIntervalS, data } = admission;
  const { limits } = grant;
  space.wills.welcomed(session.clientId);
  connection.will = packet.will;
  const keepAliveS = agreeKeepAlive(packet, limits);
  connection.facts = {
    address: connection.link.remoteAddress,
    transport: connection.link.transport,
    ...tlsOf(connection.link),
    protocol: packet.protocolVersion,
    username: grant.principal.username,
    ...credentialsOf(grant.principal),
    keepAliveS,
    sessionExpiryS: expiryIntervalS,
    sessionPresent,
  };
  space.connections.add(connection);
  space.useLimits(limits);
  connection.broker.inUse(space);
  space.stats.connects += 1;
  const connack = encodeConnack(packet.protocolVersion, Reasons.success, sessionPresent, {
    sessionExpiryIntervalS: expiryIntervalS === packet.sessionExpiryIntervalS ? undefined : expiryIntervalS,
    receiveMaximum: limits.receiveMaximum === 65_535 ? undefined : limits.receiveMaximum,
    retainAvailable: limits.maxRetainedMessages === 0 ? false : undefined,
    maximumPacketSize: limits.maxPacketBytes,
    assignedClientId: packet.clientId === session.clientId ? undefined : session.clientId, // MQTT-3.2.2-16
    topicAliasMaximum: limits.topicAliasMaximum === 0 ? undefined : limits.topicAliasMaximum,
    serverKeepAliveS: keepAliveS === packet.keepAliveS ? undefined : keepAliveS, // MQTT-3.2.2-22
    responseInformation: packet.requestResponseInformation ? grant.responseInformation : undefined,
    authenticationMethod: packet.authenticationMethod,
    authenticationData: data,
  });
  const { receiveMaximum, topicAliasMaximum } = packet;
  connection.open(
    session,
    grant,
    {
      receiveMaximum,
      topicAliasMaximum,
      mayExplain: packet.requestProblemInformation,
      keepAliveS,
    },
    connack,
  );
  if (connection.isClosed) return;
  for (const group of space.sharedOf(session)) group.wake(session);
  space.journal.presence({
    principal: grant.principal,
    epoch: session.epoch,
    state: 'online',
    cause: 'connected',
    at: space.clock.now(),
    detail: connection.facts,
    will: undefined,
  });
}

function tlsOf({ tlsVersion }: Link): Readonly<Record<string, string>> {
  return tlsVersion === undefined ? {} : { tls: tlsVersion };
}

/** What it has signed in with: two of them where a certificate was asked for beside the password. */
function credentialsOf({ credentialId, certificate }: Principal): Readonly<Record<string, string>> {
  if (certificate === undefined || certificate.credentialId === credentialId) return { credentialId };
  return { credentialId, certificateCredentialId: certificate.credentialId };
}

/** 3.x cannot be told of another keep-alive than its own. */
function agreeKeepAlive({ keepAliveS, protocolVersion }: ConnectPacket, { maxKeepAliveS }: Limits): number {
  if (maxKeepAliveS === 0 || protocolVersion !== 5) return keepAliveS;
  return keepAliveS === 0 || keepAliveS > maxKeepAliveS ? maxKeepAliveS : keepAliveS;
}
