import type { Directory, DirectoryHost } from '#store';

/** The tenant whose own host name the client asked for in TLS (SNI); undefined: it asked for none, or for everybody's. */
export async function tenantOfHost(
  directory: Pick<Directory, 'tenantOfHost'>,
  serverName: string | undefined,
): Promise<DirectoryHost | undefined> {
  // A tenant's host name has a dot in it; `localhost` need not be looked up.
  if (serverName?.includes('.') !== true) return undefined;
  return directory.tenantOfHost(serverName.toLowerCase());
}
