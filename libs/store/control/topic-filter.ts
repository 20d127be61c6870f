/** An MQTT topic filter as a condition on the column `topic`. */
import { Prisma } from '../generated/client.js';

/** MQTT 5.0, 4.7: `+` is one level, `#` what is left with its parent; neither reaches a leading `$`. The filter is valid. */
export function matchesFilter(filter: string): Prisma.Sql {
  if (!/[+#]/.test(filter)) return Prisma.sql`topic = ${filter}`;
  const levels = filter.split('/');
  const rest = levels.at(-1) === '#';
  const fixed = rest ? levels.slice(0, -1) : levels;
  const pattern = fixed
    .map((level) => (level === '+' ? '[^/]*' : level.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')))
    .join('/');
  const regex = fixed.length === 0 ? '^' : `^${pattern}${rest ? '(/|$)' : '$'}`;
  const visible = /^[+#]/.test(filter) ? Prisma.sql`AND topic NOT LIKE '$%'` : Prisma.empty;
  return Prisma.sql`topic ~ ${regex} ${visible}`;
}
