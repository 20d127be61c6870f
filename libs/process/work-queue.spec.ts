import { describe, expect, it } from '@jest/globals';

import { WorkQueue } from './work-queue.js';

/** Work that ends when it is told to, in the order in which it has begun. */
function workshop(queue: WorkQueue) {
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const give = (whose: string, name: string): Promise<string | undefined> =>
    queue.run(async () => {
      begun.push(name);
      await new Promise<void>((resolve) => ends.push(resolve));
      return name;
    }, whose);
  const endOne = async (): Promise<void> => {
    ends.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { begun, give, endOne };
}

describe('a queue of work', () => {
  it('does so much at a time, in turns of whose it is', async () => {
    const { begun, give, endOne } = workshop(new WorkQueue(1, 10));
    const all = ['a1', 'a2', 'a3', 'b1', 'c1'].map((name) => give(name.charAt(0), name));
    for (let i = 0; i < 5; i += 1) await endOne();
    expect(await Promise.all(all)).toEqual(['a1', 'a2', 'a3', 'b1', 'c1']);
    expect(begun).toEqual(['a1', 'a2', 'b1', 'c1', 'a3']);
  });

  it('tells who does not fit into it at once', async () => {
    const queue = new WorkQueue(1, 2);
    const { give, endOne } = workshop(queue);
    const all = ['a1', 'a2', 'a3'].map((name) => give('a', name));
    expect(queue.isFullFor('a')).toBe(true);
    expect(await give('a', 'a4')).toBeUndefined();
    for (let i = 0; i < 3; i += 1) await endOne();
    expect(await Promise.all(all)).toEqual(['a1', 'a2', 'a3']);
    expect(queue.isFullFor('a')).toBe(false);
  });

  it('that one has filled has a place for another, whose turn comes next', async () => {
    const queue = new WorkQueue(1, 4);
    const { begun, give, endOne } = workshop(queue);
    const flood = Array.from({ length: 8 }, (_, index) => give('flood', `flood-${index}`));
    expect(queue.isFullFor('flood')).toBe(true);
    expect(queue.isFullFor('other')).toBe(false);
    const other = give('other', 'other');
    for (let i = 0; i < 5; i += 1) await endOne();
    expect(await other).toBe('other');
    expect(begun).toEqual(['flood-0', 'flood-1', 'other', 'flood-2', 'flood-3']);
    expect((await Promise.all(flood)).filter((done) => done === undefined)).toHaveLength(4);
  });

  it('gives the place on where the work fails', async () => {
    const queue = new WorkQueue(1, 1);
    const fails = queue.run(() => Promise.reject(new Error('broken')), 'a');
    const next = queue.run(async () => 'done', 'b');
    await expect(fails).rejects.toThrow('broken');
    expect(await next).toBe('done');
  });

  it('leaves room beside what one runs for long, and takes on from it as its pieces end', async () => {
    const { begun, give, endOne } = workshop(new WorkQueue(3, 10, { concurrencyEach: 2 }));
    const all = ['a1', 'a2', 'a3', 'b1', 'c1'].map((name) => give(name.charAt(0), name));
    expect(begun).toEqual(['a1', 'a2', 'b1']);
    await endOne();
    expect(begun).toEqual(['a1', 'a2', 'b1', 'a3']);
    for (let i = 0; i < 4; i += 1) await endOne();
    expect(await Promise.all(all)).toEqual(['a1', 'a2', 'a3', 'b1', 'c1']);
  });

  it('gives a place that one may not take to whoever comes next', async () => {
    const { begun, give, endOne } = workshop(new WorkQueue(2, 10, { concurrencyEach: 1 }));
    const all = ['a1', 'a2', 'a3', 'b1'].map((name) => give(name.charAt(0), name));
    expect(begun).toEqual(['a1', 'b1']);
    for (let i = 0; i < 4; i += 1) await endOne();
    await Promise.all(all);
    expect(begun).toEqual(['a1', 'b1', 'a2', 'a3']);
  });

  it('refuses what has waited for too long, and does it no more', async () => {
    const { begun, give, endOne } = workshop(new WorkQueue(1, 10, { patienceMs: 5 }));
    const first = give('a', 'a1');
    expect(await Promise.all([give('a', 'a2'), give('b', 'b1')])).toEqual([undefined, undefined]);
    await endOne();
    expect(await first).toBe('a1');
    const next = give('b', 'b2');
    await endOne();
    expect(await next).toBe('b2');
    expect(begun).toEqual(['a1', 'b2']);
  });
});
