/** Counters of one space: plain numbers that only grow. What is dropped or denied is counted by its cause. */
export interface SpaceStats {
  packetsReceived: number;
  bytesReceived: number;
  messagesReceived: number;
  messagesSent: number;
  bytesSent: number;
  connects: number;
  denied: number;
  /** Newcomers for a client identifier that is fought over. */
  heldOff: number;
  /** QoS 0 for a connection whose outbox is full. */
  droppedSlow: number;
  /** QoS 1 or 2 for a session whose queue is full. */
  droppedQueueFull: number;
  droppedExpired: number;
  /** Over the client's Maximum Packet Size. */
  droppedTooLarge: number;
  /** The right to receive it was gone. */
  droppedDenied: number;
  willsPublished: number;
  willsSuppressed: number;
  storeErrors: number;
}

export interface BrokerStats extends SpaceStats {
  readonly links: number;
  readonly connections: number;
  readonly sessions: number;
  readonly subscriptions: number;
  readonly retained: number;
  /** Sign-ins that were not accepted. */
  readonly refused: number;
}

export function noStats(): SpaceStats {
  return {
    packetsReceived: 0,
    bytesReceived: 0,
    messagesReceived: 0,
    messagesSent: 0,
    bytesSent: 0,
    connects: 0,
    denied: 0,
    heldOff: 0,
    droppedSlow: 0,
    droppedQueueFull: 0,
    droppedExpired: 0,
    droppedTooLarge: 0,
    droppedDenied: 0,
    willsPublished: 0,
    willsSuppressed: 0,
    storeErrors: 0,
  };
}

export function addStats(sum: SpaceStats, more: Readonly<SpaceStats>): void {
  for (const name of Object.keys(more) as (keyof SpaceStats)[]) sum[name] += more[name];
}
