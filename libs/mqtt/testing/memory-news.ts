import type { TenantId } from '../message.js';
import type { News, NewsItem, NewsPage } from '../ports.js';

const pageSize = 2;

/** News that a test makes. What stands is the last item of each topic. */
export class MemoryNews implements News {
  readonly #standing = new Map<string, NewsItem & { readonly tenantId: TenantId }>();
  readonly #followers = new Map<TenantId, (item: NewsItem) => void>();
  isDown = false;

  get followed(): TenantId[] {
    return [...this.#followers.keys()];
  }

  report(tenantId: TenantId, topic: string, text: string): void {
    const item = { topic, payload: Buffer.from(text) };
    this.#standing.set(`${tenantId} ${topic}`, { ...item, tenantId });
    this.#followers.get(tenantId)?.(item);
  }

  follow(tenantId: TenantId, tell: (item: NewsItem) => void): () => void {
    this.#followers.set(tenantId, tell);
    return () => void this.#followers.delete(tenantId);
  }

  async standing(tenantId: TenantId, _filter: string, after: string | undefined): Promise<NewsPage> {
    if (this.isDown) throw new Error('down');
    const all = [...this.#standing.values()].filter((item) => item.tenantId === tenantId);
    const from = Number(after ?? 0);
    const items = all.slice(from, from + pageSize);
    return { items, next: from + pageSize < all.length ? String(from + pageSize) : undefined };
  }
}
