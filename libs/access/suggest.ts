import { filterFault, splitLevels } from './filter.js';
import type { Rule } from './rules.js';
import { isExpandable } from './variables.js';

/** What one device did: a topic that it published to, or a filter that it subscribed to. */
export interface Deed {
  readonly action: 'publish' | 'subscribe';
  readonly topic: string;
  readonly device: string;
  readonly clientId: string;
}

/** From so many words in one place on, it is the place that is meant and not the words. */
const alike = 5;
const maxTopicsOfRule = 100;

/**
 * The least that would have allowed all of it: its topics with the device's own names as variables, so that each device gets its own
 * corner and no other's, and `+` where many topics differ in one level alone. A proposal: people read it before it is in force.
 */
export function suggestRules(deeds: readonly Deed[]): Rule[] {
  return (['publish', 'subscribe'] as const).flatMap((action) => {
    const topics = new Set(deeds.filter((deed) => deed.action === action).map(generalize));
    const widened = Array.from(collapse(topics)).sort();
    const rules: Rule[] = [];
    for (let at = 0; at < widened.length; at += maxTopicsOfRule) {
      rules.push({ effect: 'allow', actions: [action], topics: widened.slice(at, at + maxTopicsOfRule) });
    }
    return rules;
  });
}

/** A level that is one of the device's names, or holds it between other words. Names of one letter would be found anywhere. */
function generalize({ topic, device, clientId }: Deed): string {
  const plain = topic.startsWith('$share/') ? splitLevels(topic).slice(2).join('/') : topic;
  return splitLevels(plain)
    .map((level) => named(named(level, device, '${device}'), clientId, '${clientId}'))
    .join('/');
}

function named(level: string, name: string, variable: string): string {
  if (level.includes('${') || name.length < 2 || !isExpandable(name)) return level;
  return level.split(name).join(variable);
}

function collapse(topics: ReadonlySet<string>): Set<string> {
  const depth = Math.max(0, ...Array.from(topics, (topic) => splitLevels(topic).length));
  let current = new Set(topics);
  // The first level stays: what begins a topic says what it is about.
  for (let place = 1; place < depth; place += 1) {
    const groups = new Map<string, Set<string>>();
    for (const topic of current) {
      const levels = splitLevels(topic);
      if (levels.length <= place || levels[place] === '#') continue;
      const shape = levels.with(place, '+').join('/');
      const group = groups.get(shape) ?? new Set();
      groups.set(shape, group.add(topic));
    }
    const next = new Set(current);
    for (const [shape, group] of groups) {
      if (group.size < alike || filterFault(shape.replaceAll('${', '').replaceAll('}', '')) !== undefined)
        continue;
      for (const topic of group) next.delete(topic);
      next.add(shape);
    }
    current = next;
  }
  return current;
}
