/** `npm run bench NAME [options]`: runs bench/NAME.ts, or lists what there is. */
import { readdirSync } from 'node:fs';

const notBenchmarks = ['main'];
const here = import.meta.dirname;
const names = readdirSync(here)
  .filter((file) => file.endsWith('.js'))
  .map((file) => file.slice(0, -'.js'.length))
  .filter((name) => !notBenchmarks.includes(name));

const [name, ...options] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  console.error(`usage: npm run bench NAME [-- options]\nbenchmarks: ${names.join(', ')}`);
  process.exitCode = 2;
} else {
  process.argv = [process.argv[0] ?? '', `${here}/${name}.js`, ...options];
  // What a benchmark has started goes with it, however it ends.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  await import(`./${name}.js`);
}
