import type { Message } from './message.js';
import { Reasons } from './reason.js';
import { ProtocolViolation } from './violation.js';

/** Topic aliases a client has set (MQTT 5.0, 3.3.2.3.4). They live as long as the connection. */
export class InboundAliases {
  readonly #maximum: number;
  readonly #topics = new Map<number, string>();

  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  /** The topic that is meant; sets the alias where both are given. */
  resolve(topic: string, alias: number): string {
    if (alias > this.#maximum) {
      throw new ProtocolViolation(Reasons.topicAliasInvalid, 'topic alias over the maximum'); // MQTT-3.3.2-9
    }
    if (topic !== '') {
      this.#topics.set(alias, topic);
      return topic;
    }
    const known = this.#topics.get(alias);
    if (known === undefined) throw new ProtocolViolation(Reasons.protocolError, 'topic alias was never set');
    return known;
  }
}

/** An alias costs three bytes in every PUBLISH: shorter topics are cheaper as they are. */
const shortestTopic = 6;
/** How many topics are remembered, for each alias there is, to find those that come again. */
const remembered = 8;

export interface OutboundAlias {
  readonly alias: number;
  /** The client knows it: the topic is left out. */
  readonly isSet: boolean;
}

/** Topic aliases towards a client that allows them: a topic gets one when it comes the second time, while there are any. */
export class OutboundAliases {
  readonly #maximum: number;
  /** 0: seen once. */
  readonly #aliases = new Map<string, number>();
  #used = 0;

  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  find({ topic }: Message): OutboundAlias | undefined {
    if (topic.length < shortestTopic) return undefined;
    const known = this.#aliases.get(topic);
    if (known !== undefined && known > 0) return { alias: known, isSet: true };
    if (this.#used >= this.#maximum) return undefined;
    if (known === 0) return { alias: this.#used + 1, isSet: false };
    if (this.#aliases.size < this.#maximum * remembered) this.#aliases.set(topic, 0);
    return undefined;
  }

  /** The PUBLISH that sets it is on its way. */
  set({ topic }: Message, alias: number): void {
    this.#aliases.set(topic, alias);
    this.#used = alias;
  }
}
