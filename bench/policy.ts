/**
 * What a decision costs: `npm run bench policy`. Publish rights out of a connection's memory (cached), and asked of the rules
 * (uncached), with 20, 200 and 2 000 rules of which a topic can match a handful; and whether filters are covered.
 */
import { RuleSet, ruleSchema, type Rule } from '#access';

import { twentyRules } from './support/policy.js';

const variables = {
  tenant: 'acme',
  device: 'pump-1',
  clientId: 'pump-1',
  username: 'pump-1@acme',
  attributes: { site: 'north' },
};

/** The twenty, and others that cannot match: of other lines of the same plant. */
function rulesOf(count: number): Rule[] {
  const rules: Rule[] = twentyRules.map((rule) => ruleSchema.parse(rule));
  for (let line = rules.length; line < count; line += 1) {
    const effect = line % 5 === 0 ? 'deny' : 'allow';
    rules.push({ effect, actions: ['publish', 'subscribe'], topics: [`plant/line-${line}/+/state/#`] });
  }
  return rules;
}

const topics = Array.from({ length: 1_000 }, (_, i) => `devices/pump-1/telemetry/channel-${i}`);
const filters = ['devices/pump-1/cmd/+', 'plant/line-30/+/state/#', 'plant/+/a/state/#', 'bench/#'];
let sum = 0;

interface Measured {
  readonly ns: number;
  readonly bytes: number;
}

/** The best of several rounds: what the machine does besides is not the rules'. */
function measure(calls: number, call: (i: number) => boolean): Measured {
  for (let i = 0; i < calls; i += 1) if (call(i)) sum += 1;
  let best: Measured = { ns: Infinity, bytes: Infinity };
  for (let round = 0; round < 5; round += 1) {
    globalThis.gc?.();
    const before = process.memoryUsage().heapUsed;
    const start = process.hrtime.bigint();
    for (let i = 0; i < calls; i += 1) if (call(i)) sum += 1;
    const ns = Number(process.hrtime.bigint() - start) / calls;
    const bytes = Math.max(0, (process.memoryUsage().heapUsed - before) / calls);
    best = { ns: Math.min(best.ns, ns), bytes: Math.min(best.bytes, bytes) };
  }
  return best;
}

const shown = ({ ns, bytes }: Measured): string =>
  `${ns.toFixed(0).padStart(7)} ns ${(1e9 / ns / 1e6).toFixed(2).padStart(7)} M/s ${bytes.toFixed(0).padStart(6)} B`;

console.log(
  'rules      cached publish               uncached publish             covered filter               compile',
);
interface Sized {
  readonly count: number;
  readonly compileMs: number;
  readonly cached: (i: number) => boolean;
  readonly uncached: (i: number) => boolean;
  readonly covered: (i: number) => boolean;
}

function prepare(count: number): Sized {
  const document = { policyId: 'p', name: 'p', version: 1, rules: rulesOf(count) };
  const start = process.hrtime.bigint();
  const rights = new RuleSet([document]).for(variables);
  const compileMs = Number(process.hrtime.bigint() - start) / 1e6;
  // As a connection remembers them: libs/mqtt/connection.ts, publishRight.
  const remembered = new Map(topics.map((topic) => [topic, rights.publishRight(topic)]));
  const at = (i: number): string => topics[i % topics.length] ?? '';
  return {
    count,
    compileMs,
    cached: (i) => remembered.get(at(i))?.allowed === true,
    uncached: (i) => rights.publishRight(at(i)).allowed,
    covered: (i) => rights.subscribeRight(filters[i % filters.length] ?? '').allowed,
  };
}

const sizes = [20, 200, 2_000].map(prepare);
// All of them first: whoever came first would be measured with code that is compiled for it alone.
for (const { cached, uncached, covered } of sizes) {
  for (let i = 0; i < 20_000; i += 1) sum += Number(cached(i)) + Number(uncached(i)) + Number(covered(i));
}
for (const { count, compileMs, ...calls } of sizes) {
  const cached = measure(2_000_000, calls.cached);
  const uncached = measure(300_000, calls.uncached);
  const covered = measure(20_000, calls.covered);
  console.log(
    `${String(count).padStart(5)}  ${shown(cached)}  ${shown(uncached)}  ${shown(covered)}  ${compileMs.toFixed(1)} ms`,
  );
}
if (sum === 0) throw new Error('nothing was allowed: the benchmark measures refusals');
