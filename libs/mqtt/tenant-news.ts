/**
 * `$tenant/`: what a tenant may know of itself as it happens, where a policy names it: who is here (`$tenant/presence/{device}`) and
 * what was refused (`$tenant/denials`). It comes from the News port, for all processes together, and goes out as QoS 0. What stands
 * now comes with a new subscription, as retained messages do. No client publishes here, and no leading wildcard matches it.
 */
import type { Subscription } from './message.js';
import type { News, NewsPage } from './ports.js';
import { isBelow, serverMessage } from './server-topic.js';
import type { Session } from './session.js';
import type { Space } from './space.js';
import { matches } from './topic.js';

/** Between two looks at a reader who has not taken the last page yet, and before a store that is away is asked again. */
const waitMs = 200;
const retryMs = 1_000;

export class TenantNews {
  readonly #space: Space;
  #subscriptions = 0;
  #unfollow: (() => void) | undefined;

  constructor(space: Space) {
    this.#space = space;
  }

  /** A subscription has been made that was not there before. */
  subscribed(filter: string): void {
    if (!isBelow('$tenant', filter)) return;
    this.#subscriptions += 1;
    const { news, tenantId } = this.#space;
    this.#unfollow ??= news?.follow(tenantId, (item) => {
      if (!this.#space.hasSubscribers(item.topic)) return;
      this.#space.publish(serverMessage(this.#space.clock, item), undefined, undefined);
    });
  }

  unsubscribed(filter: string): void {
    if (!isBelow('$tenant', filter)) return;
    this.#subscriptions -= 1;
    if (this.#subscriptions === 0) this.close();
  }

  /** What stands now goes to a new subscription, page by page, as fast as its client reads. */
  send(session: Session, subscription: Subscription): void {
    if (this.#space.news === undefined || !isBelow('$tenant', subscription.filter)) return;
    void this.#sendStanding(this.#space.news, session, subscription);
  }

  close(): void {
    this.#unfollow?.();
    this.#unfollow = undefined;
  }

  /** Never rejects: a store that is away is asked again. */
  async #sendStanding(news: News, session: Session, subscription: Subscription): Promise<void> {
    const { connection } = session;
    const { filter, subscriptionId } = subscription;
    const ids = subscriptionId === undefined ? [] : [subscriptionId];
    const isWanted = (): boolean =>
      connection?.isClosed === false && session.subscriptions.get(filter) === subscription;
    let page: NewsPage = { items: [], next: undefined };
    do {
      while (isWanted() && session.hasQueued) await this.#wait(waitMs);
      if (!isWanted()) return;
      try {
        page = await news.standing(this.#space.tenantId, filter, page.next);
      } catch {
        await this.#wait(retryMs);
        continue;
      }
      if (!isWanted()) return;
      for (const item of page.items) {
        if (!matches(filter, item.topic) || !session.mayReceive(item.topic)) continue;
        session.offerRetained(serverMessage(this.#space.clock, item), 0, ids);
      }
      session.pump();
      if (page.next === undefined) return;
    } while (isWanted());
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.#space.clock.after(ms, resolve));
  }
}
