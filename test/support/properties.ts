/** fast-check, which looks at the same things in every run of the tests: the seed is FUZZ_SEED, which global-setup.js sets. */
import { configureGlobal, readConfigureGlobal } from 'fast-check';

const seed = process.env['FUZZ_SEED'];
if (seed !== undefined) configureGlobal({ ...readConfigureGlobal(), seed: Number(seed) | 0 });

export * from 'fast-check';
