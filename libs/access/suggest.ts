import { filterFault, splitLevels } from './filter.js';
import type { Rule } from './rules.js';
import { isExpandable } from './variables.js';

/** What one device did: a topic that it published to, or a filter that it subscribed to. */
export interface Deed {
  readonly action: 'publish' | 'subscribe';
  readonly topic: string;
  readonly device: string;
  readonly clientId: string;
  readonly tenant: string;
  /** With its tenant's slug, `authId@tenant`; empty: it is not known. */
  readonly username: string;
  /** Of the device, as they are now. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** From so many words in one place on, it is the place that is meant and not the words. */
const alike = 5;
const maxTopicsOfRule = 100;

/**
 * The least that would have allowed all of it: its topics with the device's own names as variables, so that each device gets its own
 * corner and no other's, and `+` where many topics differ in one level alone. A proposal: people read it before it is in force.
 */
export function suggestRules(deeds: readonly Deed[]): Rule[] {
  const attributes = attributesInUse(deeds);
  return (['publish', 'subscribe'] as const).flatMap((action) => {
    const own = deeds.filter((deed) => deed.action === action);
    const topics = new Set(own.map((deed) => generalize(deed, attributes)));
    const widened = Array.from(collapse(topics)).sort();
    const rules: Rule[] = [];
    for (let at = 0; at < widened.length; at += maxTopicsOfRule) {
      rules.push({ effect: 'allow', actions: [action], topics: widened.slice(at, at + maxTopicsOfRule) });
    }
    return rules;
  });
}

/**
 * A level that is a name of the device's, its tenant's or one of its attributes; or that holds one of its own names between other words. What an
 * attribute or a slug says may be a common word, so these are levels as a whole. The device's own names come first: they are
 * nobody else's.
 */
function generalize(deed: Deed, attributes: readonly string[]): string {
  const { device, clientId, username, tenant } = deed;
  const whole: readonly (readonly [variable: string, value: string | undefined])[] = [
    ['${device}', device],
    ['${clientId}', clientId],
    ['${username}', username],
    ...attributes.map((name) => [`\${attr.${name}}`, attributeOf(deed, name)] as const),
    ['${tenant}', tenant],
  ];
  return levelsOf(deed)
    .map((level) => {
      const meant = whole.find(([, value]) => value === level && isTelling(value));
      if (meant !== undefined) return meant[0];
      return named(named(level, device, '${device}'), clientId, '${clientId}');
    })
    .join('/');
}

/** As it is asked for: without `$share/group/`. */
function levelsOf({ topic }: Deed): readonly string[] {
  const levels = splitLevels(topic);
  return topic.startsWith('$share/') ? levels.slice(2) : levels;
}

/** Names of attributes that stand in topics, first those of the most: where two have one value, it is most likely the one. */
function attributesInUse(deeds: readonly Deed[]): string[] {
  const counts = new Map<string, number>();
  for (const deed of deeds) {
    const levels = new Set(levelsOf(deed));
    for (const [name, value] of Object.entries(deed.attributes)) {
      if (isTelling(value) && levels.has(value)) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  return Array.from(counts)
    .sort(([a, one], [b, other]) => other - one || (a < b ? -1 : 1))
    .map(([name]) => name);
}

function attributeOf({ attributes }: Deed, name: string): string | undefined {
  return Object.hasOwn(attributes, name) ? attributes[name] : undefined;
}

/** Names of one letter would be found anywhere. */
function isTelling(value: string): boolean {
  return value.length >= 2 && isExpandable(value) && !value.startsWith('$');
}

function named(level: string, name: string, variable: string): string {
  if (level.includes('${') || !isTelling(name)) return level;
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
