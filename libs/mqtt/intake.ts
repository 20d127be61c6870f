import type { Broker } from './broker.js';
import type { Connection } from './connection.js';
import { Framer, maxAtOnceBytes } from './framing.js';
import { Hold, type HoldBit } from './hold.js';
import type { Link } from './ports.js';
import { Reasons } from './reason.js';
import type { Session } from './session.js';
import type { Space } from './space.js';

/** What may still arrive while reading is on hold: the rest of the chunk that was being read, and a few that were on their way. */
const mostHeldBytes = 1024 * 1024;
/** What it costs to read a packet, in units of `Turns`; and how many bytes of it cost one unit more. */
const unitsOfPacket = 2;
const bytesOfUnit = 512;
/**
 * An acknowledgement costs so little that all those of a full window are one share. If only half of them were read, the others would wait
 * behind messages that find the window full: those are queued, which costs three times as much.
 */
const bytesOfAcknowledgement = 4;
const unitsOfAcknowledgement = 0.5;
/** Of a chunk that ends no packet. A WebSocket's message is one, however empty: thousands come in one read. */
const unitsOfChunk = 8;
const turnsUntilQuiet = 64;

/**
 * Takes what a client sends, frame by frame, and decides when it is not read any further. That is so while there is a reason to wait
 * (`Hold`): frames that are here already are kept, and the link is told to pause. One reason is the intake's own: a client that has used
 * up its share of the turn goes on after the others (`Turns`), and at the pace of those whose queues it fills (`Pace`).
 */
export class Intake {
  /** When the bytes that are being handled arrived. */
  now: number;
  /** It waits until the client whose queue it filled has taken some of it (`Pace`). */
  isFollowing = false;
  followedInVainAt = -Infinity;

  readonly #broker: Broker;
  readonly #link: Link;
  readonly #connection: Connection;
  readonly #framer: Framer;
  #holds = 0;
  /** The link was told to pause. */
  #isPaused = false;
  #isReading = false;
  /** The turn in which it was last read, and what it has spent of its share of that. */
  #turn = 0;
  #spentInTurn = 0;
  /** It has sent more than acknowledgements in this turn. */
  #isHeard = false;
  /** The chunk that came last has more than acknowledgements. */
  #isSpeech = false;
  /** It has used up its share; from this turn on it counts as quiet again. */
  #quietFrom = 0;
  /** The session whose queue it has filled since it was last held. */
  #filled: Session | undefined = undefined;

  constructor(broker: Broker, link: Link, connection: Connection) {
    this.#broker = broker;
    this.#link = link;
    this.#connection = connection;
    this.#framer = new Framer(broker.preAuthLimits.maxConnectBytes);
    this.now = broker.clock.now();
  }

  /** A frame is being handled. */
  get isReading(): boolean {
    return this.#isReading;
  }

  get hasUnread(): boolean {
    return this.#framer.heldBytes > 0;
  }

  /** A packet has begun, and is not whole. */
  get isMidPacket(): boolean {
    return this.#framer.isMidFrame;
  }

  /** Whether one of these reasons, or any at all, holds it. */
  isHeld(by = -1): boolean {
    return (this.#holds & by) !== 0;
  }

  /** From here on packets may be so large, and memory is taken for them at once: it is known who sends them. */
  take(maxPacketBytes: number): void {
    this.#framer.maxPacketBytes = maxPacketBytes;
    this.#framer.atOnceBytes = maxAtOnceBytes;
    this.#link.takePackets?.(maxPacketBytes);
  }

  received(chunk: Buffer): void {
    const { turns } = this.#broker;
    if (this.#holds !== 0) this.#pause();
    turns.beginChunk();
    this.#begin();
    this.#isSpeech = false;
    const before = turns.spent;
    try {
      this.#framer.push(chunk, this.#onFrame);
      if (turns.spent === before) this.#chargeChunk();
      // A WebSocket's chunk is a whole message, which may be as large as a packet.
      const mostBytes = mostHeldBytes + this.#framer.maxPacketBytes;
      if (this.#framer.heldBytes > mostBytes) this.#connection.end(Reasons.quotaExceeded, 'protocol-error');
    } catch (error) {
      this.#connection.fail(error);
    }
    this.#end();
    turns.endChunk(this.#isSpeech);
  }

  place(): Buffer | undefined {
    return this.#framer.place();
  }

  #begin(): void {
    this.now = this.#broker.clock.now();
    this.#broker.turns.begin();
    this.#isReading = true;
  }

  #end(): void {
    this.#isReading = false;
    if (this.#connection.isClosed) this.stop();
  }

  /** The framer may not be touched while it hands over a frame: it is stopped after that. */
  stop(): void {
    if (!this.#isReading) this.#framer.stop();
  }

  readonly #onFrame = (frame: Buffer, bodyOffset: number): boolean => {
    const { turns } = this.#broker;
    const before = turns.spent;
    const isSmall = frame.length <= bytesOfAcknowledgement;
    turns.spend(isSmall ? unitsOfAcknowledgement : unitsOfPacket + frame.length / bytesOfUnit);
    this.#connection.handle(frame, bodyOffset);
    this.#charge(turns.spent - before, isSmall);
    return this.#holds === 0 && !this.#connection.isClosed;
  };

  // ------------------------------------------------------------------------------------------------------ reading waits

  /** Reading stops until every hold is released. */
  hold(why: HoldBit): void {
    this.#holds |= why;
    this.#pause();
  }

  /** As `hold`, for what is likely to be over within the turn: only if it is not, the link is told to pause, at the end of the turn. */
  holdBriefly(why: HoldBit): void {
    this.#holds |= why;
    this.#broker.turns.addLast(this);
  }

  /** The end of the turn. */
  flush(): void {
    if (this.#holds !== 0) this.#pause();
  }

  #pause(): void {
    // A link that ends reads on: it has to see its client go.
    if (this.#isPaused || this.#connection.isClosed) return;
    this.#isPaused = true;
    this.#link.pause();
  }

  /** Returns whether nothing holds it any more, and all that had come is handled. */
  release(why: HoldBit): boolean {
    if ((this.#holds & why) === 0) return false;
    this.#holds &= ~why;
    if (this.#holds !== 0) return false;
    if (!this.#isReading) this.#readHeld();
    return this.#holds === 0;
  }

  #readHeld(): void {
    this.#begin();
    try {
      this.#framer.resume(this.#onFrame);
    } catch (error) {
      this.#connection.fail(error);
    }
    this.#end();
  }

  /** The link may read again. */
  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#link.resume();
  }

  // -------------------------------------------------------------------------------------------------- and others' turns

  #chargeChunk(): void {
    this.#broker.turns.spend(unitsOfChunk);
    this.#charge(unitsOfChunk, true);
  }

  /** Charges it for what it has sent. When its share of the turn is used up it waits in line. */
  #charge(units: number, isAnswer: boolean): void {
    const { turns } = this.#broker;
    if (this.#turn !== turns.number) {
      this.#turn = turns.number;
      this.#spentInTurn = 0;
      this.#isHeard = false;
    }
    this.#spentInTurn += units;
    if (!isAnswer) {
      this.#isSpeech = true;
      const isQuiet = turns.number >= this.#quietFrom;
      if (!this.#isHeard) turns.heard(this, isQuiet);
      this.#isHeard = true;
      if (isQuiet) turns.spentQuietly(units);
    }
    if (this.#spentInTurn < turns.shareFor(isAnswer)) return;
    this.#quietFrom = turns.number + turnsUntilQuiet;
    if (this.#holds !== 0) return;
    this.#holds |= Hold.turn; // the link hears of it only if more comes: it will be over soon
    turns.waitToRead(this.#goOn);
  }

  readonly #goOn = (): void => {
    const connection = this.#connection;
    this.isFollowing = this.#filled !== undefined && this.#filled.holdUp(connection, this.#follow);
    if (this.isFollowing) return connection.session?.letGo();
    this.#filled = undefined;
    connection.release(Hold.turn);
  };

  readonly #follow = (wasInVain: boolean): void => {
    this.isFollowing = false;
    if (wasInVain) this.followedInVainAt = this.#broker.clock.now();
    this.#broker.turns.wait(this.#goOn);
  };

  /** A message of this client has gone to a queue in which many wait. */
  hasFilled(space: Space): void {
    this.#filled = space.crowded;
    space.crowded = undefined;
  }
}
