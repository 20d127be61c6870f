/**
 * Times go to and fro as text, and PostgreSQL has settings for how it writes and reads them. They are the server's, or an
 * administrator's, and not ours to rely on: Prisma writes UTC without saying so, and takes whatever comes for UTC. With a server in
 * another zone a window of time missed the readings that it was asked for, and a credential outlived its end by hours.
 */
const settings = '-c TimeZone=UTC -c DateStyle=ISO';

/** The URL, with sessions in which a time means what it says; other options that it has stay. */
export function inUtc(url: string): string {
  const changed = new URL(url);
  const given = changed.searchParams.get('options');
  changed.searchParams.set('options', given === null ? settings : `${given} ${settings}`);
  return changed.href;
}
