import { z } from 'zod';
import type { TenantHost } from '#store';

/** A host name as SNI carries it (RFC 6066, 3): labels of DNS, lower case, no address. */
export const hostName = z
  .string()
  .max(253)
  .regex(
    /^(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$/,
    'A host name in lower case, e.g. acme.mqtt.example.com',
  );

const hostNameView = z.object({ host: z.string(), createdAt: z.iso.datetime() }).meta({ id: 'HostName' });
export const hostNamesView = z.object({ items: z.array(hostNameView) }).meta({ id: 'HostNames' });

export function presentHostName({ host, createdAt }: TenantHost): z.input<typeof hostNameView> {
  return { host, createdAt: createdAt.toISOString() };
}
