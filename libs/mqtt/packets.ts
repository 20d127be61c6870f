/**
 * Control packets as the codec yields them: already checked against the standard's syntax (reserved bits, lengths, UTF-8,
 * properties that are duplicated, misplaced or out of range). What needs the session or the tenant to judge (topics, filters,
 * rights, limits) is the handlers' work.
 */
import type {
  MessageProperties,
  ProtocolVersion,
  Qos,
  Subscription,
  UserProperties,
  Will,
} from './message.js';

export interface ConnectPacket {
  readonly type: 'connect';
  readonly protocolVersion: ProtocolVersion;
  readonly cleanStart: boolean;
  readonly keepAliveS: number;
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: Buffer | undefined;
  readonly will: Will | undefined;
  /** 5.0: Session Expiry Interval, 0 where absent. 3.x: 0 with Clean Session 1, 0xFFFFFFFF with 0. */
  readonly sessionExpiryIntervalS: number;
  readonly receiveMaximum: number;
  /** Undefined: no limit of the client's. */
  readonly maximumPacketSize: number | undefined;
  readonly topicAliasMaximum: number;
  readonly requestResponseInformation: boolean;
  readonly requestProblemInformation: boolean;
  readonly userProperties: UserProperties;
  readonly authenticationMethod: string | undefined;
  readonly authenticationData: Buffer | undefined;
}

export interface PublishPacket {
  readonly type: 'publish';
  readonly dup: boolean;
  readonly qos: Qos;
  readonly retain: boolean;
  /** Empty where a topic alias stands for it. */
  readonly topic: string;
  /** 0 at QoS 0. */
  readonly packetId: number;
  readonly topicAlias: number | undefined;
  readonly messageExpiryS: number | undefined;
  readonly properties: MessageProperties | undefined;
  readonly payload: Buffer;
  /** The packet as it came, where a server would write it in the same bytes, the packet identifier's apart. */
  readonly asReceived: ReceivedPublish | undefined;
}

/** A PUBLISH ready to go: all of it in `bytes`, or a large payload beside it. Shared, never changed. */
export interface EncodedPublish {
  readonly bytes: Buffer;
  /** Where the packet identifier stands; 0 at QoS 0. */
  readonly packetIdAt: number;
  readonly payload: Buffer | undefined;
  /** The payload is good until the frame that it came in has been handled, and no longer. */
  readonly isLent: boolean;
  readonly totalBytes: number;
}

/** A PUBLISH ready to go to clients of the version that it came in. */
export interface ReceivedPublish extends EncodedPublish {
  readonly version: ProtocolVersion;
}

export interface AcknowledgePacket {
  readonly type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp';
  readonly packetId: number;
  readonly reasonCode: number;
}

export interface SubscribePacket {
  readonly type: 'subscribe';
  readonly packetId: number;
  /** The filters as sent: their syntax is judged one by one. */
  readonly subscriptions: readonly Subscription[];
}

export interface UnsubscribePacket {
  readonly type: 'unsubscribe';
  readonly packetId: number;
  readonly filters: readonly string[];
}

export interface PingRequestPacket {
  readonly type: 'pingreq';
}

export interface DisconnectPacket {
  readonly type: 'disconnect';
  readonly reasonCode: number;
  readonly sessionExpiryIntervalS: number | undefined;
}

export interface AuthPacket {
  readonly type: 'auth';
  readonly reasonCode: number;
  readonly authenticationMethod: string | undefined;
  readonly authenticationData: Buffer | undefined;
}

/** Everything a client may send. */
export type ClientPacket =
  | ConnectPacket
  | PublishPacket
  | AcknowledgePacket
  | SubscribePacket
  | UnsubscribePacket
  | PingRequestPacket
  | DisconnectPacket
  | AuthPacket;
