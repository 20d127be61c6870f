/**
 * QoS 1 and 2 messages sent to a client and not yet acknowledged. Every message of a session has a sequence; its packet
 * identifier derives from it, so that a message keeps its identifier over reconnects and restarts without it being stored.
 * One byte of state a message, in a ring; identifiers are found by arithmetic.
 */
export const Flight = Object.freeze({
  none: 0,
  /** PUBLISH QoS 1 is out, PUBACK is awaited. */
  sent1: 1,
  /** PUBLISH QoS 2 is out, PUBREC is awaited. */
  sent2: 2,
  /** PUBREC came and is being stored. */
  received: 3,
  /** PUBREL is out, PUBCOMP is awaited. */
  released: 4,
} as const);
export type FlightState = (typeof Flight)[keyof typeof Flight];

const identifiers = 65_535;
const firstRoom = 16;

export function packetIdOf(sequence: number): number {
  return ((sequence - 1) % identifiers) + 1;
}

export class InFlight {
  #states: Uint8Array | undefined;
  #mask = 0;
  /** Lowest sequence that may be under way. */
  #head = 1;
  /** One past the highest sequence sent. */
  #next = 1;
  count = 0;

  /** Empties it: the next sequence that is sent is this one, or a later one. */
  restart(sequence: number): void {
    this.#states?.fill(Flight.none);
    this.#head = sequence;
    this.#next = sequence;
    this.count = 0;
  }

  /** Whether this sequence's identifier is free of every older message (MQTT-2.2.1-4). */
  mayBegin(sequence: number): boolean {
    return this.count === 0 || sequence - this.#head < identifiers;
  }

  begin(sequence: number, state: FlightState): void {
    if (this.count === 0) this.#head = sequence;
    this.#makeRoom(sequence - this.#head + 1);
    (this.#states as Uint8Array)[sequence & this.#mask] = state;
    this.#next = sequence + 1;
    this.count += 1;
  }

  /** The sequence under way with this identifier; 0: there is none. */
  find(packetId: number): number {
    if (this.count === 0) return 0;
    const distance = (packetId - packetIdOf(this.#head) + identifiers) % identifiers;
    const sequence = this.#head + distance;
    return sequence < this.#next && this.stateOf(sequence) !== Flight.none ? sequence : 0;
  }

  stateOf(sequence: number): FlightState {
    if (this.#states === undefined || sequence < this.#head || sequence >= this.#next) return Flight.none;
    return this.#states[sequence & this.#mask] as FlightState;
  }

  setState(sequence: number, state: FlightState): void {
    (this.#states as Uint8Array)[sequence & this.#mask] = state;
  }

  done(sequence: number): void {
    const states = this.#states as Uint8Array;
    states[sequence & this.#mask] = Flight.none;
    this.count -= 1;
    if (sequence !== this.#head) return;
    while (this.#head < this.#next && states[this.#head & this.#mask] === Flight.none) this.#head += 1;
  }

  #makeRoom(span: number): void {
    const states = this.#states;
    if (states !== undefined && span <= states.length) return;
    let room = states === undefined ? firstRoom : states.length * 2;
    while (room < span) room *= 2;
    const grown = new Uint8Array(room);
    if (states !== undefined) this.#copyTo(grown, states);
    this.#states = grown;
    this.#mask = room - 1;
  }

  #copyTo(grown: Uint8Array, states: Uint8Array): void {
    for (let sequence = this.#head; sequence < this.#next; sequence++) {
      grown[sequence & (grown.length - 1)] = states[sequence & this.#mask] as number;
    }
  }
}
