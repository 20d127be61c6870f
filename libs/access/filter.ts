/** The syntax of topic filters (MQTT 5.0, 4.7), as rules and subscriptions use it. */

export type FilterFault = 'empty' | 'forbidden_character' | 'misplaced_wildcard';

/** What is wrong with a filter's syntax, if anything is. */
export function filterFault(filter: string): FilterFault | undefined {
  if (filter.length === 0) return 'empty'; // MQTT-4.7.3-1
  if (filter.includes('\0') || !filter.isWellFormed()) return 'forbidden_character'; // MQTT-4.7.3-2
  const levels = splitLevels(filter);
  const last = levels.length - 1;
  for (const [index, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || index !== last)) return 'misplaced_wildcard'; // MQTT-4.7.1-1
    if (level.includes('+') && level !== '+') return 'misplaced_wildcard'; // MQTT-4.7.1-2
  }
  return undefined;
}

/** The filter a subscription's messages are matched by: `$share/group/a/#` subscribes to `a/#` (MQTT 5.0, 4.8.2). */
export function withoutShare(filter: string): string {
  if (!filter.startsWith('$share/')) return filter;
  const end = filter.indexOf('/', '$share/'.length);
  return end === -1 ? '' : filter.slice(end + 1);
}

/** The levels of a topic or filter; empty ones count (MQTT 5.0, 4.7.1.1). */
export function splitLevels(text: string): string[] {
  return text.split('/');
}
