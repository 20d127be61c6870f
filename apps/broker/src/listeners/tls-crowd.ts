/**
 * While many TLS connections come, the heap may grow for longer until all of it is collected. How much it may, V8 weighs anew each time: at
 * a broker's pace by a few megabytes, and with V8 each of these connections counts for 47 KB. So a hundred and fifty of them, all in use,
 * were a reason to go through the 37 MB that stay, on other threads: up to a fifth of a sign-in's processor time. In a crowd it is the
 * most that V8 gives, to four times what lives. Otherwise V8 decides: else what sign-ins leave would lie for twenty minutes (bench/history.md).
 */
import { setFlagsFromString } from 'node:v8';

/** In a second. */
const crowd = 32;
const most = '--heap-growing-percent=300';
const asWeighed = '--heap-growing-percent=0';

export class TlsCrowd {
  readonly #setFlag: (flag: string) => void;
  /** In this second. */
  #came = 0;
  #isWatched = false;
  #isCrowd = false;

  constructor(setFlag: (flag: string) => void) {
    this.#setFlag = setFlag;
  }

  /** One more connection. */
  came(): void {
    this.#came += 1;
    if (this.#came === crowd && !this.#isCrowd) this.#turn(true);
    if (!this.#isWatched) this.#watch();
  }

  #watch(): void {
    this.#isWatched = true;
    setTimeout(this.#look, 1_000).unref();
  }

  readonly #look = (): void => {
    const came = this.#came;
    this.#came = 0;
    this.#isWatched = false;
    if (came < crowd && this.#isCrowd) this.#turn(false);
    if (came > 0) this.#watch();
  };

  #turn(isCrowd: boolean): void {
    this.#isCrowd = isCrowd;
    this.#setFlag(isCrowd ? most : asWeighed);
  }
}

/** Of the process, as V8's flags are. A V8 that does not know the flag says so and goes on. */
export const tlsCrowd = new TlsCrowd(setFlagsFromString);
