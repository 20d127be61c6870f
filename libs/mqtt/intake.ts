import type { Broker } from './broker.js';
import type { Connection } from './connection.js';
import { Framer, maxAtOnceBytes } from './framing.js';
import { Hold, type HoldBit } from './hold.js';
import type { Link } from './ports.js';
import { Reasons } from './reason.js';
import type { Session } from './session.js';
import type { Space } from './space.js';

/** What may arrive while reading is on hold: a few chunks that were on their way, beside the one that was being read. */
const mostHeldBytes = 1024 * 1024;
/** What a packet costs that is read, and so many bytes of it, in `Turns`' units. */
const unitsOfPacket = 2;
const bytesOfUnit = 512;
/**
 * An acknowledgement costs so little that all those of a full window are one share. Of half of them, the other half would wait
 * behind messages for which there is no room in the window any more: they are queued, which costs three times as much.
 */
const bytesOfAcknowledgement = 4;
const unitsOfAcknowledgement = 0.5;
const turnsUntilQuiet = 64;

/**
 * What a client sends, frame by frame, and when it is not read on. It is not while there is a reason to wait (`Hold`): the frames
 * that are here already then stay here, and the link is told to read no more. One reason is of the intake's own: whoever has used
 * up its share of the turn goes on after the others (`Turns`), and at the pace of those whose queues it fills (`Pace`).
 */
export class Intake {
  /** When the bytes that are being handled arrived. */
  now: number;
  /** It goes on when the client whose queue it filled has taken some of it. */
  isFollowing = false;
  followedInVainAt = -Infinity;

  readonly #broker: Broker;
  readonly #link: Link;
  readonly #connection: Connection;
  readonly #framer: Framer;
  #holds = 0;
  /** So the link was told. */
  #isPaused = false;
  #isReading = false;
  /** What it has spent of its share of this turn. */
  #turn = 0;
  #spentInTurn = 0;
  /** In this turn, with more than acknowledgements. */
  #isHeard = false;
  /** Likewise, in the chunk that came last. */
  #isSpeech = false;
  /** It used up its share; from that turn on it counts as one who does not. */
  #quietFrom = 0;
  /** Whose queue it has filled since it was held last. */
  #filled: Session | undefined = undefined;

  constructor(broker: Broker, link: Link, connection: Connection) {
    this.#broker = broker;
    this.#link = link;
    this.#connection = connection;
    this.#framer = new Framer(broker.preAuthLimits.maxConnectBytes);
    this.now = broker.clock.now();
  }

  /** A frame is being handled, or what comes of it. */
  get isReading(): boolean {
    return this.#isReading;
  }

  get hasUnread(): boolean {
    return this.#framer.heldBytes > 0;
  }

  /** By any of these, or by anything. */
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
    try {
      this.#framer.push(chunk, this.#onFrame);
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

  /** As `hold`, for what may well be over before anything else is read: the link hears of it at the end of the turn, if it is not. */
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

  /** Returns whether that was the last, and all that had come is handled. */
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

  /** Whoever has had its share of the turn goes on after the others. */
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

  /** A message of this client's went to a queue in which many wait. */
  hasFilled(space: Space): void {
    this.#filled = space.crowded;
    space.crowded = undefined;
  }
}
