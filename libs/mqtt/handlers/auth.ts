/** Enhanced authentication (MQTT 5.0, 4.12): the steps of CONNECT's exchange, and re-authentication while connected. */
import type { Authentication, Connection } from '../connection.js';
import { encodeAuth } from '../encode.js';
import { Hold } from '../hold.js';
import type { AuthPacket } from '../packets.js';
import type { Exchange, Grant, Refusal } from '../ports.js';
import { Reasons } from '../reason.js';
import { reviewSubscriptions } from '../rights.js';
import { ProtocolViolation } from '../violation.js';

/** How an exchange ended. */
export type Outcome = { readonly grant: Grant; readonly data: Buffer | undefined } | Refusal;

export function authenticate(connection: Connection, packet: AuthPacket): void {
  const { authentication, authenticationMethod: method } = connection;
  const { authenticationMethod, authenticationData, reasonCode } = packet;
  // MQTT-4.12.0-5, MQTT-4.12.1-1: the method of CONNECT, and none where CONNECT had none (MQTT-4.12.0-6, -7).
  if (method === undefined || authenticationMethod !== method) {
    throw new ProtocolViolation(Reasons.protocolError, 'AUTH with another method than CONNECT');
  }
  if (reasonCode === Reasons.reauthenticate.code) {
    if (authentication !== undefined || connection.state !== 'open') {
      throw new ProtocolViolation(Reasons.protocolError, 'an authentication is under way');
    }
    reauthenticate(connection, method, authenticationData).catch((error: unknown) => connection.fail(error));
    return;
  }
  if (reasonCode !== Reasons.continueAuthentication.code || authentication?.next === undefined) {
    throw new ProtocolViolation(Reasons.protocolError, 'no AUTH is waited for');
  }
  connection.authentication = gatesTurn;
  if (connection.state !== 'open') connection.hold(Hold.signIn);
  authentication.next(authenticationData);
}

const gatesTurn: Authentication = Object.freeze({ next: undefined });

/** Steps until the Gate has made up its mind; the client's next AUTH is waited for in between. */
export async function converse(
  connection: Connection,
  exchange: Exchange,
  method: string,
  first: Buffer | undefined,
): Promise<Outcome> {
  let data = first;
  for (;;) {
    const answer = await exchange.next(data);
    if ('grant' in answer || answer.kind === 'refused') {
      connection.authentication = undefined;
      return answer;
    }
    const next = new Promise<Buffer | undefined>((resolve) => {
      connection.authentication = { next: resolve };
    });
    if (connection.isClosed) return gone;
    connection.reply(encodeAuth(Reasons.continueAuthentication.code, method, answer.data)); // MQTT-4.12.0-3
    connection.release(Hold.signIn);
    data = await next;
  }
}

const gone: Refusal = Object.freeze({
  kind: 'refused',
  reason: Reasons.unspecified,
  detail: 'the client went away',
  tenantId: undefined,
});

/** Messages flow on while it lasts (4.12.1). Whoever the client was, it stays. */
async function reauthenticate(
  connection: Connection,
  method: string,
  data: Buffer | undefined,
): Promise<void> {
  const { session } = connection;
  if (session === undefined) return;
  const request = connection.signInAs(session.clientId, undefined, undefined);
  const connectedAs = session.principal.username;
  const exchange = connection.broker.gate.exchange(method, { ...request, connectedAs });
  if (exchange === undefined) return connection.end(Reasons.badAuthenticationMethod, 'kicked');
  connection.authentication = gatesTurn;
  const { broker } = connection;
  const { rightsVersion } = broker;
  connection.awaitSignIn();
  const outcome = await converse(connection, exchange, method, data);
  if (connection.isClosed) return;
  connection.signedIn();
  if (!('grant' in outcome)) return connection.end(outcome.reason, 'kicked'); // MQTT-4.12.1-2
  let { grant } = outcome;
  // A right that went while the Gate made up its mind is not given back, not for a moment.
  for (let asOf = rightsVersion; session.space.rightsVersion > asOf;) {
    asOf = broker.rightsVersion;
    const answer = await broker.grantOfNow(grant);
    if (connection.isClosed) return;
    if (answer.kind === 'refused') return connection.end(answer.reason, 'kicked');
    grant = answer;
  }
  const { tenantId, deviceId, clientId } = session.principal;
  const isSame =
    grant.principal.tenantId === tenantId &&
    grant.principal.deviceId === deviceId &&
    (grant.principal.clientId === clientId || grant.principal.clientId === '');
  if (!isSame) return connection.end(Reasons.notAuthorized, 'kicked');
  session.signIns += 1;
  connection.use({ ...grant, principal: { ...grant.principal, clientId } });
  await reviewSubscriptions(session);
  if (connection.isClosed) return;
  connection.reply(encodeAuth(Reasons.success.code, method, outcome.data));
}
