/**
 * Topic names and filters (4.7): their syntax, shared subscriptions (4.8.2), and the plain matcher that the tree is held
 * against. Nothing is normalised: `a`, `/a` and `a/` are three topics. MQTT-4.7.3-4
 */

/** Of longer topics nothing is remembered: to walk a thousand levels takes less than to collect what is kept of them. */
export const mostRemembered = 512;

const hash = 0x23;
const plus = 0x2b;
const slash = 0x2f;
const dollar = 0x24;

/** Whether a message may be published to it: at least one character, no wildcard. Its UTF-8 was checked when it was read. */
export function isTopicName(topic: string): boolean {
  return topic.length > 0 && !topic.includes('#') && !topic.includes('+'); // MQTT-4.7.3-1, MQTT-3.3.2-2, MQTT-4.7.1-1
}

/** Whether its wildcards stand alone in their level, and `#` in the last one. A `$share/…` filter goes to `parseShared` first. */
export function isTopicFilter(filter: string): boolean {
  if (filter.length === 0) return false; // MQTT-4.7.3-1
  for (let at = 0; at < filter.length; at++) {
    const unit = filter.charCodeAt(at);
    if (unit !== hash && unit !== plus) continue;
    if (at > 0 && filter.charCodeAt(at - 1) !== slash) return false;
    if (at === filter.length - 1) continue;
    if (unit === hash) return false; // MQTT-4.7.1-1
    if (filter.charCodeAt(at + 1) !== slash) return false; // MQTT-4.7.1-2
  }
  return true;
}

/** Where the level that begins at `start` ends. */
export function levelEnd(topic: string, start: number): number {
  let at = start;
  while (at < topic.length && topic.charCodeAt(at) !== slash) at += 1;
  return at;
}

/**
 * The first two levels; undefined where a wildcard is among them. A filter that has such a start matches topics with the same one
 * and no others.
 */
export function startOf(topic: string): string | undefined {
  let slashes = 0;
  for (let at = 0; at < topic.length; at++) {
    const unit = topic.charCodeAt(at);
    if (unit === hash || unit === plus) return undefined;
    if (unit === slash && ++slashes === 2) return topic.slice(0, at);
  }
  return topic;
}

/** MQTT's strings have no more bytes. */
const bytesOfTopic = Buffer.allocUnsafeSlow(65_535);

/** Counted in bytes, without a branch for each: to look at the characters of a string takes five times as long. */
export function levelsOf(topic: string): number {
  const end = bytesOfTopic.write(topic);
  let levels = 1;
  for (let at = 0; at < end; at++) levels += (((bytesOfTopic[at] as number) ^ slash) - 1) >>> 31;
  return levels;
}

/** Whether a topic or filter stays within a tenant's limits. */
export function isWithinLimits(topic: string, maxBytes: number, maxLevels: number): boolean {
  // A UTF-16 unit takes one to three bytes: most topics need no counting.
  if (topic.length > maxBytes) return false;
  if (topic.length * 3 > maxBytes && Buffer.byteLength(topic) > maxBytes) return false;
  return topic.length < maxLevels || levelsOf(topic) <= maxLevels;
}

/** `$SYS`, `$share` and their like: no filter that begins with a wildcard matches them. MQTT-4.7.2-1 */
export function isDollarTopic(topic: string): boolean {
  return topic.charCodeAt(0) === dollar;
}

export interface SharedFilter {
  readonly group: string;
  readonly filter: string;
}

/** Whether the filter asks for a shared subscription; `$share` alone, without a slash, is an ordinary filter. */
export function isShared(filter: string): boolean {
  return filter.startsWith('$share/');
}

/** The parts of `$share/{group}/{filter}`; undefined where it is not a valid one. Ask `isShared` first. */
export function parseShared(filter: string): SharedFilter | undefined {
  if (!isShared(filter)) return undefined;
  const groupStart = '$share/'.length;
  const groupEnd = filter.indexOf('/', groupStart);
  if (groupEnd <= groupStart) return undefined; // MQTT-4.8.2-1, -2: a group of one character at least, and a filter
  const group = filter.slice(groupStart, groupEnd);
  if (!isTopicName(group)) return undefined; // MQTT-4.8.2-2: no wildcard
  const inner = filter.slice(groupEnd + 1);
  return isTopicFilter(inner) ? { group, filter: inner } : undefined;
}

/** Whether a valid filter (not a shared one) matches a topic name: the definition, level by level, that `TopicTree` must equal. */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/');
  const levels = topic.split('/');
  if (isDollarTopic(topic) && (wanted[0] === '#' || wanted[0] === '+')) return false; // MQTT-4.7.2-1
  for (let at = 0; at < wanted.length; at++) {
    if (wanted[at] === '#') return true; // the level before it included: `a/#` matches `a`, 4.7.1.2
    if (at >= levels.length) return false;
    if (wanted[at] !== '+' && wanted[at] !== levels[at]) return false;
  }
  return wanted.length === levels.length;
}
