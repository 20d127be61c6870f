import type { Broker } from './broker.js';
import type { Limits } from './limits.js';
import type { Policy, PublishRight } from './ports.js';
import { serversTopic, tooLongTopic } from './rights.js';
import type { Session } from './session.js';
import { isDollarTopic, isWithinLimits, mostRemembered } from './topic.js';
import { unitsOfLookUp } from './turns.js';

/** Rights are remembered for topics of so many characters in all: a thousand of the usual ones. */
const mostLength = 64 * 1024;
const lengthOfRight = 32;

/** What one client may publish to under one policy and its limits, remembered by topic: most clients publish to few. */
export class PublishRights {
  readonly #broker: Broker;
  readonly #session: Session;
  readonly #policy: Policy;
  readonly #limits: Limits;
  readonly #byTopic = new Map<string, PublishRight>();
  #length = 0;

  constructor(broker: Broker, session: Session, policy: Policy, limits: Limits) {
    this.#broker = broker;
    this.#session = session;
    this.#policy = policy;
    this.#limits = limits;
  }

  /** Synchronous, and mostly from memory where the topic was asked about before. */
  of(topic: string): PublishRight {
    if (topic.length > mostRemembered) return this.#ask(topic);
    return this.#byTopic.get(topic) ?? this.#remember(topic, this.#ask(topic));
  }

  #ask(topic: string): PublishRight {
    const { turns, onUse } = this.#broker;
    turns.spend(unitsOfLookUp(topic));
    const right = this.#judge(topic);
    if (right.allowed) {
      onUse({ principal: this.#session.principal, action: 'publish', topic, rule: right.rule });
    }
    return right;
  }

  #remember(topic: string, right: PublishRight): PublishRight {
    const length = topic.length + lengthOfRight;
    if (this.#length + length > mostLength) this.#forget();
    this.#byTopic.set(topic, right);
    this.#length += length;
    return right;
  }

  #judge(topic: string): PublishRight {
    const { maxTopicBytes, maxTopicLevels } = this.#limits;
    if (!isWithinLimits(topic, maxTopicBytes, maxTopicLevels)) return tooLongTopic;
    if (isDollarTopic(topic)) return serversTopic;
    return this.#policy.publishRight(topic);
  }

  #forget(): void {
    this.#byTopic.clear();
    this.#length = 0;
  }
}
