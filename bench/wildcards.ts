/**
 * `npm run bench wildcards [-- --most 1000000]`: what it costs to find a message's subscribers among 10 000, 100 000 and
 * 1 000 000 subscriptions, half of them with `+` or `#`, in one tenant's tree and spread over those of a thousand tenants; and
 * the memory of a subscription. A match should cost what it finds, not what there is.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parseArgs } from 'node:util';

import { TopicTree } from '../libs/mqtt/tree.js';

import { show } from './support/figures.js';
import { load, machine } from './support/machine.js';

const { values } = parseArgs({ options: { most: { type: 'string', default: '1000000' } } });
const manyTenants = 1_000;
const rounds = 7;
const matchesInRound = 20_000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

console.log(`${machine()}; load average ${load()}`);
console.log('subscriptions   tenants   bytes each   found   ns a match   ns a subscriber found');
for (const count of [10_000, 100_000, 1_000_000].filter((one) => one <= Number(values.most))) {
  for (const tenants of [1, manyTenants]) measure(count, tenants);
}

/** Four forms in turn; a device has all of them, and each of its topics finds one or two. */
function filterOf(n: number): string {
  const device = n >> 2;
  const site = device % 100;
  switch (n & 3) {
    case 0:
      return `sites/${site}/devices/d${device}/state`;
    case 1:
      return `sites/${site}/devices/d${device}/cmd/#`;
    case 2:
      return `sites/+/devices/d${device}/alarms/+`;
    default:
      return `sites/${site}/devices/d${device}/readings/temperature`;
  }
}

function topicOf(device: number, n: number): string {
  const base = `sites/${device % 100}/devices/d${device}`;
  switch (n & 3) {
    case 0:
      return `${base}/state`;
    case 1:
      return `${base}/cmd/restart`;
    case 2:
      return `${base}/alarms/fire`;
    default:
      return `${base}/readings/temperature`;
  }
}

function measure(count: number, tenants: number): void {
  collect();
  const before = process.memoryUsage().heapUsed;
  const trees = Array.from({ length: tenants }, () => new TopicTree<number>());
  const ofEach = count / tenants;
  for (const tree of trees) {
    for (let n = 0; n < ofEach; n++) tree.set(filterOf(n), `c${n >> 2}`, n);
    tree.set('sites/+/devices/+/alarms/#', 'operator', -1);
  }
  collect();
  const bytes = (process.memoryUsage().heapUsed - before) / count;
  const topics = Array.from({ length: matchesInRound }, (_, n) => {
    const device = Math.floor(Math.random() * (ofEach >> 2));
    return [trees[n % tenants] as TopicTree<number>, topicOf(device, n)] as const;
  });
  let found = 0;
  const note = (): void => {
    found += 1;
  };
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    found = 0;
    const began = performance.now(); // finer than processor time, which some kernels count in ticks of 4 ms
    for (const [tree, topic] of topics) tree.match(topic, note);
    best = Math.min(best, performance.now() - began);
  }
  const each = (best * 1e6) / matchesInRound;
  const perMatch = found / matchesInRound;
  console.log(
    show(count).padStart(13) +
      show(tenants).padStart(10) +
      bytes.toFixed(0).padStart(13) +
      perMatch.toFixed(2).padStart(8) +
      each.toFixed(0).padStart(13) +
      (each / perMatch).toFixed(0).padStart(24),
  );
}
