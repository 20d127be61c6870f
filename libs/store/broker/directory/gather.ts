/** A fleet that reconnects asks thousands of questions at once. They are gathered, while earlier ones are under way. */
import DataLoader from 'dataloader';

/**
 * What an answer holds is welcomed in one turn of the loop, at about 0.2 ms each: more at once would be felt by everybody else, and the
 * question would hardly be cheaper.
 */
const maxBatch = 64;
/** Batches under way at once for each kind of question; while they are, the next one fills. */
export const maxConcurrent = 2;

/** A loader without a cache of answers, that lets a batch fill while earlier ones are under way. */
export function gather<Key, Value>(
  ask: (keys: readonly Key[]) => Promise<Value[]>,
): DataLoader<Key, Value, string> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return new DataLoader<Key, Value, string>(
    async (keys) => {
      try {
        return await ask(keys);
      } finally {
        running -= 1;
        next();
      }
    },
    {
      cache: false,
      maxBatchSize: maxBatch,
      batchScheduleFn: (dispatch) => {
        waiting.push(dispatch);
        setImmediate(next);
      },
    },
  );

  function next(): void {
    if (running >= maxConcurrent) return;
    const dispatch = waiting.shift();
    if (dispatch === undefined) return;
    running += 1;
    dispatch();
  }
}

/** Answers in the order of the questions, each of which has one or none. */
export function inPlaces<Value extends { readonly place: string }>(
  asked: readonly unknown[],
  rows: readonly Value[],
): (Value | undefined)[] {
  const found: (Value | undefined)[] = asked.map(() => undefined);
  for (const row of rows) found[Number(row.place) - 1] = row;
  return found;
}
