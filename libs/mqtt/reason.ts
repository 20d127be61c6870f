/**
 * The one list of outcomes: what goes on the wire, into logs, denials and metrics.
 * `code` is MQTT 5.0's Reason Code (2.4); `connack3` is what a 3.1 or 3.1.1 client gets in CONNACK instead (3.2.2.3).
 */
export interface Reason {
  readonly code: number;
  readonly name: string;
  readonly connack3: number;
}

function reason(code: number, name: string, connack3 = 0): Reason {
  return Object.freeze({ code, name, connack3 });
}

export const Reasons = Object.freeze({
  success: reason(0x00, 'success'),
  disconnectWithWill: reason(0x04, 'disconnect-with-will-message'),
  noMatchingSubscribers: reason(0x10, 'no-matching-subscribers'),
  noSubscriptionExisted: reason(0x11, 'no-subscription-existed'),
  continueAuthentication: reason(0x18, 'continue-authentication'),
  reauthenticate: reason(0x19, 're-authenticate'),
  unspecified: reason(0x80, 'unspecified-error', 3),
  malformedPacket: reason(0x81, 'malformed-packet', 3),
  protocolError: reason(0x82, 'protocol-error', 3),
  implementationSpecific: reason(0x83, 'implementation-specific-error', 3),
  unsupportedProtocolVersion: reason(0x84, 'unsupported-protocol-version', 1),
  clientIdentifierNotValid: reason(0x85, 'client-identifier-not-valid', 2),
  badUserNameOrPassword: reason(0x86, 'bad-user-name-or-password', 4),
  notAuthorized: reason(0x87, 'not-authorized', 5),
  serverUnavailable: reason(0x88, 'server-unavailable', 3),
  serverBusy: reason(0x89, 'server-busy', 3),
  banned: reason(0x8a, 'banned', 5),
  serverShuttingDown: reason(0x8b, 'server-shutting-down', 3),
  badAuthenticationMethod: reason(0x8c, 'bad-authentication-method', 4),
  keepAliveTimeout: reason(0x8d, 'keep-alive-timeout', 3),
  sessionTakenOver: reason(0x8e, 'session-taken-over', 3),
  topicFilterInvalid: reason(0x8f, 'topic-filter-invalid'),
  topicNameInvalid: reason(0x90, 'topic-name-invalid', 3),
  packetIdentifierInUse: reason(0x91, 'packet-identifier-in-use'),
  packetIdentifierNotFound: reason(0x92, 'packet-identifier-not-found'),
  receiveMaximumExceeded: reason(0x93, 'receive-maximum-exceeded'),
  topicAliasInvalid: reason(0x94, 'topic-alias-invalid'),
  packetTooLarge: reason(0x95, 'packet-too-large', 3),
  messageRateTooHigh: reason(0x96, 'message-rate-too-high'),
  quotaExceeded: reason(0x97, 'quota-exceeded', 3),
  administrativeAction: reason(0x98, 'administrative-action', 3),
  payloadFormatInvalid: reason(0x99, 'payload-format-invalid', 3),
  retainNotSupported: reason(0x9a, 'retain-not-supported', 3),
  qosNotSupported: reason(0x9b, 'qos-not-supported', 3),
  useAnotherServer: reason(0x9c, 'use-another-server', 3),
  serverMoved: reason(0x9d, 'server-moved', 3),
  sharedSubscriptionsNotSupported: reason(0x9e, 'shared-subscriptions-not-supported'),
  connectionRateExceeded: reason(0x9f, 'connection-rate-exceeded', 3),
  maximumConnectTime: reason(0xa0, 'maximum-connect-time', 3),
  subscriptionIdentifiersNotSupported: reason(0xa1, 'subscription-identifiers-not-supported'),
  wildcardSubscriptionsNotSupported: reason(0xa2, 'wildcard-subscriptions-not-supported'),
});

// Of the codes from 0x80 on, those that only others have (3.2.2.2, 3.14.2.1).
const notInConnack: ReadonlySet<number> = new Set([
  0x8b, 0x8d, 0x8e, 0x8f, 0x91, 0x92, 0x93, 0x94, 0x96, 0x98, 0x9e, 0xa0, 0xa1, 0xa2,
]);
const notInDisconnect: ReadonlySet<number> = new Set([0x84, 0x85, 0x86, 0x88, 0x8a, 0x8c, 0x91, 0x92]);

/** What CONNACK says: the reason, or the nearest that it has. MQTT-3.2.2-8 */
export function inConnack(reason: Reason): Reason {
  if (!notInConnack.has(reason.code)) return reason;
  switch (reason) {
    case Reasons.serverShuttingDown:
      return Reasons.serverUnavailable;
    case Reasons.sessionTakenOver:
      return Reasons.serverBusy;
    case Reasons.administrativeAction:
      return Reasons.notAuthorized;
    default:
      return Reasons.unspecified;
  }
}

/** What DISCONNECT says: the reason, or the nearest that it has. MQTT-3.14.2-1 */
export function inDisconnect(reason: Reason): Reason {
  if (!notInDisconnect.has(reason.code)) return reason;
  switch (reason) {
    case Reasons.serverUnavailable:
      return Reasons.serverBusy;
    case Reasons.badUserNameOrPassword:
    case Reasons.clientIdentifierNotValid:
    case Reasons.badAuthenticationMethod:
    case Reasons.banned:
      return Reasons.notAuthorized;
    default:
      return Reasons.protocolError;
  }
}
