/** The syntax of topic filters (MQTT 5.0, 4.7), as rules and subscriptions use it. */

export type FilterFault = 'empty' | 'forbidden-character' | 'misplaced-wildcard';

/** What is wrong with a filter's syntax, if anything is. */
export function filterFault(filter: string): FilterFault | undefined {
  if (filter.length === 0) return 'empty'; // MQTT-4.7.3-1
  if (filter.includes('\0') || !filter.isWellFormed()) return 'forbidden-character'; // MQTT-4.7.3-2
  const levels = splitLevels(filter);
  const last = levels.length - 1;
  for (const [index, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || index !== last)) return 'misplaced-wildcard'; // MQTT-4.7.1-1
    if (level.includes('+') && level !== '+') return 'misplaced-wildcard'; // MQTT-4.7.1-2
  }
  return undefined;
}

/** Whether the broker reads it as a string: no control characters, non-characters or halves of surrogate pairs (MQTT 5.0, 1.5.4, strictly). */
export function isMqttText(text: string): boolean {
  return text.isWellFormed() && !/[\p{Cc}\p{NChar}]/u.test(text);
}

/** Whether it can be subscribed to: a filter as it stands, or as a shared one (MQTT 5.0, 4.8.2). */
export function isSubscription(filter: string): boolean {
  if (!isMqttText(filter)) return false;
  const hasGroup = !filter.startsWith('$share/') || /^\$share\/[^/+#]+\/./.test(filter);
  return hasGroup && filterFault(withoutShare(filter)) === undefined;
}

/** The filter a subscription's messages are matched by: `$share/group/a/#` subscribes to `a/#` (MQTT 5.0, 4.8.2). */
export function withoutShare(filter: string): string {
  if (!filter.startsWith('$share/')) return filter;
  const end = filter.indexOf('/', '$share/'.length);
  return end === -1 ? '' : filter.slice(end + 1);
}

/** Whether some topic is matched by both filters. */
export function overlap(a: string, b: string): boolean {
  const [left, right] = [splitLevels(a), splitLevels(b)];
  // A leading wildcard does not match the server's own topics (MQTT-4.7.2-1).
  if (isWild(left[0]) ? b.startsWith('$') : isWild(right[0]) && a.startsWith('$')) return false;
  for (let place = 0; ; place += 1) {
    const [one, other] = [left[place], right[place]];
    if (one === '#' || other === '#') {
      // `/#` matches the level above it, which is empty here, and no topic (MQTT-4.7.3-1).
      const isAbove = one === undefined || other === undefined;
      return !(isAbove && place === 1 && (left[0] === '' || right[0] === ''));
    }
    // After the #, which matches the level above it too (MQTT 5.0, 4.7.1.2).
    if (one === undefined || other === undefined) return one === other;
    if (one !== other && one !== '+' && other !== '+') return false;
  }
}

/** Whether a filter is a topic as it stands: a topic has at least one character (MQTT-4.7.3-1), and no wildcard. */
export function isTopic(filter: string): boolean {
  return filter.length > 0 && !filter.includes('+') && !filter.includes('#');
}

function isWild(level: string | undefined): boolean {
  return level === '+' || level === '#';
}

/** The levels of a topic or filter; empty ones count (MQTT 5.0, 4.7.1.1). */
export function splitLevels(text: string): string[] {
  return text.split('/');
}

/** The level that begins at `start`; undefined past the last one. */
export function levelAt(text: string, start: number): string | undefined {
  if (start > text.length) return undefined;
  const end = text.indexOf('/', start);
  return end === -1 ? text.slice(start) : text.slice(start, end);
}
