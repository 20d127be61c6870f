/** What the ports ask to be written, as the writer keeps it until it is committed. */
import type {
  ClaimedSession,
  InboundPacket,
  Message,
  PresenceEvent,
  Principal,
  QueueEntry,
  Reading,
  SessionKey,
  Stored,
  Subscription,
  TenantId,
  Will,
} from '#mqtt';

export interface Claim {
  readonly kind: 'claim';
  readonly principal: Principal;
  readonly epoch: number;
  readonly expiryIntervalS: number;
  readonly cleanStart: boolean;
  /** After the commit; `stored` is called only where there is none. */
  readonly claimed: (session: ClaimedSession) => void;
  readonly stored: Stored;
}

export interface TelemetryWrite {
  readonly kind: 'telemetry';
  readonly reading: Reading;
  /** Also if it looks like JSON. */
  readonly asBytes: boolean;
  readonly stored: Stored;
}

/** Notes that say the same, counted. */
export interface DenialCount {
  readonly tenantId: TenantId;
  readonly key: Buffer;
  readonly deviceId: string | undefined;
  readonly clientId: string;
  readonly username: string;
  readonly remoteAddress: string;
  readonly action: string;
  readonly topic: string;
  readonly reason: string;
  readonly detail: string;
  readonly firstAt: number;
  lastAt: number;
  count: number;
}

export type Operation =
  | TelemetryWrite
  | Claim
  | {
      readonly kind: 'release';
      readonly session: SessionKey;
      readonly expiryIntervalS: number;
      readonly expiresAt: number | undefined;
      readonly sentTo: number;
      readonly stored: undefined;
    }
  | { readonly kind: 'remove'; readonly session: SessionKey; readonly stored: Stored | undefined }
  | {
      readonly kind: 'subscribe';
      readonly session: SessionKey;
      readonly subscriptions: readonly Subscription[];
      readonly stored: Stored;
    }
  | {
      readonly kind: 'unsubscribe';
      readonly session: SessionKey;
      readonly filters: readonly string[];
      readonly stored: Stored;
    }
  | {
      readonly kind: 'append';
      readonly message: Message;
      readonly entries: readonly QueueEntry[];
      readonly inbound: InboundPacket | undefined;
      readonly stored: Stored;
    }
  | {
      readonly kind: 'receive';
      readonly session: SessionKey;
      readonly sequence: number;
      readonly stored: Stored;
    }
  | {
      readonly kind: 'settle';
      readonly session: SessionKey;
      readonly sequences: readonly number[];
      readonly stored: undefined;
    }
  | {
      readonly kind: 'forget';
      readonly session: SessionKey;
      readonly packetId: number;
      readonly stored: Stored;
    }
  | {
      readonly kind: 'retain';
      readonly tenantId: TenantId;
      readonly message: Message;
      readonly stored: Stored;
    }
  | {
      readonly kind: 'will';
      readonly principal: Principal;
      readonly epoch: number;
      readonly will: Will | undefined;
      readonly dueAt: number | undefined;
      readonly stored: Stored | undefined;
    }
  /** Writes nothing: reported when what was submitted before it has been. */
  | { readonly kind: 'barrier'; readonly stored: Stored }
  | { readonly kind: 'presence'; readonly event: PresenceEvent; readonly stored: undefined }
  | { readonly kind: 'denials'; readonly denials: readonly DenialCount[]; readonly stored: undefined };

/** Rows that it becomes, about: what a batch is measured by. */
export function weightOf(operation: Operation): number {
  switch (operation.kind) {
    case 'append':
      return 1 + operation.entries.length;
    case 'subscribe':
      return operation.subscriptions.length;
    case 'unsubscribe':
      return operation.filters.length;
    case 'settle':
      return operation.sequences.length;
    case 'denials':
      return operation.denials.length;
    case 'barrier':
      return 0;
    case 'claim':
    case 'forget':
    case 'presence':
    case 'receive':
    case 'release':
    case 'remove':
    case 'retain':
    case 'telemetry':
    case 'will':
      return 1;
  }
}

// An operation's own objects, its callback's closure and its share of the columns.
const overheadBytes = 500;
// A place in a queue, and what a batch makes of it: a message for a thousand sessions is mostly these.
const entryBytes = 300;

/** Memory that it holds until it is committed, about: whatever its sender chose the size of is in it. */
export function bytesOf(operation: Operation): number {
  switch (operation.kind) {
    case 'telemetry':
      return overheadBytes + bytesOfMessage(operation.reading.message);
    case 'append':
      return overheadBytes + bytesOfMessage(operation.message) + operation.entries.length * entryBytes;
    case 'retain':
      return overheadBytes + bytesOfMessage(operation.message);
    case 'will':
      return overheadBytes + (operation.will === undefined ? 0 : bytesOfMessage(operation.will));
    case 'presence':
      return overheadBytes + (operation.event.will === undefined ? 0 : bytesOfMessage(operation.event.will));
    case 'denials':
      return operation.denials.reduce((sum, denial) => sum + bytesOfDenial(denial), overheadBytes);
    case 'subscribe':
      return operation.subscriptions.reduce(
        (sum, { filter }) => sum + 300 + 2 * filter.length,
        overheadBytes,
      );
    case 'unsubscribe':
      return operation.filters.reduce((sum, filter) => sum + 300 + 2 * filter.length, overheadBytes);
    case 'settle':
      return overheadBytes + weightOf(operation) * 300;
    case 'barrier':
    case 'claim':
    case 'forget':
    case 'receive':
    case 'release':
    case 'remove':
      return overheadBytes;
  }
}

function bytesOfMessage({
  topic,
  payload,
  properties,
}: Pick<Message, 'topic' | 'payload'> & Partial<Pick<Message, 'properties'>>): number {
  const bytes = 2 * topic.length + payload.length;
  if (properties === undefined) return bytes;
  const { contentType = '', responseTopic = '', correlationData, userProperties = [] } = properties;
  return userProperties.reduce(
    (sum, [name, value]) => sum + 64 + 2 * (name.length + value.length),
    bytes + 2 * (contentType.length + responseTopic.length) + (correlationData?.length ?? 0),
  );
}

function bytesOfDenial({ clientId, username, topic, detail }: DenialCount): number {
  return 300 + 2 * (clientId.length + username.length + topic.length + detail.length);
}
