import { describe, expect, it } from '@jest/globals';
import { feedOf, Feeds, type Follower } from './feed.js';

interface Item {
  readonly id: number;
  readonly at: Date;
}

const tellAll = { tell: (items: readonly Item[]) => items, recheck: () => Promise.resolve() };

/** A table, and how often it was read. */
class Table {
  readonly rows: Item[] = [];
  reads = 0;
  readonly feeds = new Feeds<Item>({ keyOf: ({ id }) => String(id), timeOf: ({ at }) => at }, 1);

  follow(name = 'a'): Promise<Follower<Item>> {
    return this.feeds.follow(
      name,
      (from) => this.read(from),
      () => Promise.resolve(this.rows.map(({ at }) => at).reduce(later, undefined)),
    );
  }

  add(id: number, ms = id): void {
    this.rows.push({ id, at: new Date(ms) });
  }

  /** In pages of two. */
  async *read(from: Date): AsyncGenerator<readonly Item[]> {
    this.reads += 1;
    const found = this.rows.filter(({ at }) => at >= from);
    for (let start = 0; start < found.length; start += 2) {
      yield await Promise.resolve(found.slice(start, start + 2));
    }
  }
}

function later(one: Date | undefined, other: Date): Date {
  return one === undefined || other > one ? other : one;
}

async function idsOf(feed: AsyncIterator<Item>, count: number): Promise<(number | undefined)[]> {
  const seen: (number | undefined)[] = [];
  while (seen.length < count) seen.push((await feed.next()).value?.id);
  return seen;
}

describe('feeds', () => {
  it('tell all who follow the same from one poll, each of them everything', async () => {
    const table = new Table();
    const followers = await Promise.all(Array.from({ length: 50 }, () => table.follow()));
    expect(table.feeds.polls).toBe(1);
    const feeds = followers.map((follower) => feedOf(follower, tellAll));
    for (let id = 1; id <= 5; id += 1) table.add(id);
    const seen = await Promise.all(feeds.map((feed) => idsOf(feed, 5)));
    expect(seen).toEqual(feeds.map(() => [1, 2, 3, 4, 5]));
    for (const feed of feeds) await feed.return?.();
  });

  it('ask nothing any more when the last follower has left, and begin anew with the next', async () => {
    const table = new Table();
    const feeds = [feedOf(await table.follow(), tellAll), feedOf(await table.follow(), tellAll)];
    table.add(1);
    await Promise.all(feeds.map((feed) => feed.next()));
    await feeds[0]?.return?.();
    expect(table.feeds.polls).toBe(1);
    const waiting = feeds[1]?.next();
    await feeds[1]?.return?.();
    expect((await waiting)?.done).toBe(true);
    expect(table.feeds.polls).toBe(0);
    const readsBefore = table.reads;
    const next = feedOf(await table.follow(), tellAll);
    table.add(2);
    expect(await idsOf(next, 1)).toEqual([2]);
    expect(table.reads).toBeGreaterThan(readsBefore);
    await next.return?.();
  });

  it('tell those who come later nothing from before', async () => {
    const table = new Table();
    const first = feedOf(await table.follow(), tellAll);
    table.add(10);
    expect(await idsOf(first, 1)).toEqual([10]);
    table.add(15);
    const second = feedOf(await table.follow(), tellAll);
    table.add(20);
    expect(await idsOf(second, 1)).toEqual([20]);
    expect(await idsOf(first, 2)).toEqual([15, 20]);
    await Promise.all([first.return?.(), second.return?.()]);
  });

  it('tell what is there to be read only after they began, of whatever time before it is', async () => {
    const table = new Table();
    table.add(1, 60_000);
    const feeds = [feedOf(await table.follow(), tellAll), feedOf(await table.follow(), tellAll)];
    table.add(2, 60_000); // received an hour ago, and committed now
    table.add(3, 59_000);
    for (const feed of feeds) expect(await idsOf(feed, 2)).toEqual([2, 3]);
    for (const feed of feeds) await feed.return?.();
  });

  it('are not waited for by those who are told already', async () => {
    const table = new Table();
    const first = feedOf(await table.follow(), tellAll);
    const { promise: asked, resolve: answer } = Promise.withResolvers<undefined>();
    const second = table.feeds.follow(
      'a',
      (from) => table.read(from),
      () => asked,
    );
    table.add(7);
    expect(await idsOf(first, 1)).toEqual([7]);
    answer(undefined);
    const late = feedOf(await second, tellAll);
    table.add(8);
    expect(await idsOf(late, 1)).toEqual([8]);
    await Promise.all([first.return?.(), late.return?.()]);
  });

  it('tell what commits late, once, and all of what shares its time with much else', async () => {
    const table = new Table();
    const feed = feedOf(await table.follow(), tellAll);
    for (let id = 1; id <= 9; id += 1) table.add(id, 5_000);
    expect(await idsOf(feed, 9)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    table.add(10, 4_000);
    table.add(11, 5_001);
    expect(await idsOf(feed, 2)).toEqual([10, 11]);
    await feed.return?.();
  });

  it('end for everybody when the store cannot be asked, and for nobody else when one is refused', async () => {
    const table = new Table();
    const first = await table.follow();
    const refused = table.feeds.follow(
      'a',
      (from) => table.read(from),
      () => Promise.reject(new Error('not there')),
    );
    await expect(refused).rejects.toThrow('not there');
    table.add(1);
    expect(await first.take(60_000)).toHaveLength(1);
    table.rows.push(undefined as never);
    const feed = feedOf(first, tellAll);
    await expect(feed.next()).rejects.toThrow(TypeError);
    expect(table.feeds.polls).toBe(0);
  });

  it('end where more waits for a reader than it may keep waiting, and for that reader alone', async () => {
    const table = new Table();
    const slow = await table.follow();
    const quick = feedOf(await table.follow(), tellAll);
    const count = 20_001;
    for (let id = 1; id <= count; id += 1) table.add(id, 1);
    expect((await idsOf(quick, count)).at(-1)).toBe(count);
    await expect(slow.take(0)).rejects.toMatchObject({ code: 'limit-reached' });
    slow.leave();
    await quick.return?.();
  });
});
