/**
 * For what ends by itself, and has to be seen before: `work` is given so many milliseconds, and tried again with more where it has
 * failed only once they were over, for then it may have been the machine that was too slow. What fails in time has failed.
 */
export async function withTimeEnough<T>(firstMs: number, work: (ms: number) => Promise<T>): Promise<T> {
  for (let ms = firstMs; ; ms *= 4) {
    const began = performance.now();
    try {
      return await work(ms);
    } catch (error) {
      if (performance.now() - began < ms || ms > longestMs) throw error;
    }
  }
}

const longestMs = 20_000;
