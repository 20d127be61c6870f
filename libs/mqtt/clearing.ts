/** Retained messages that an administrator clears: in the memory of this process, and in the vault once more (decision 0015). */
import { Commit } from './commit.js';
import type { Message } from './message.js';
import type { Walk } from './retained.js';
import type { Space } from './space.js';

/** Nodes of the tree that are looked at in one step, and how many of them cost a unit of a turn. */
const nodesOfStep = 32;
const nodesOfUnit = 4;
const unitsOfClearing = 8;
/** What is under way to the vault at a time: publishers of all tenants wait where that is full. */
const mostUnderWay = 500;

/**
 * Each topic is cleared here and by a write in its turn among all others. So a message that was accepted before goes from both, and one
 * that comes after its topic was cleared stays in both: what is in memory and what is stored end alike, whatever was stored when.
 * Returns how many were cleared, when that is stored; rejects where it is not.
 */
export async function clearRetained(space: Space, filter: string): Promise<number> {
  const walk = space.retained.walk(filter);
  let cleared = 0;
  space.clearings += 1;
  try {
    while (!walk.isDone) cleared += await clearSome(space, walk);
  } finally {
    space.clearings -= 1;
  }
  return cleared;
}

async function clearSome(space: Space, walk: Walk): Promise<number> {
  const { turns } = space;
  const commit = new Commit();
  let cleared = 0;
  const rest = turns.work(() => {
    if (walk.isDone || cleared >= mostUnderWay) return false;
    const found: Message[] = []; // the store must not change under the walk's step
    const left = walk.go(nodesOfStep, (message) => found.push(message) > 0);
    turns.spend((nodesOfStep - left) / nodesOfUnit + found.length * unitsOfClearing);
    for (const message of found) space.clearRetained(message, commit.expect());
    cleared += found.length;
    return true;
  });
  if (rest !== undefined) await rest;
  await new Promise<void>((resolve, reject) =>
    commit.whenStored((error) => (error === undefined ? resolve() : reject(error))),
  );
  return cleared;
}
