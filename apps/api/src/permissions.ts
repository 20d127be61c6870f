/** What a route or a GraphQL field may ask for. The `tenants:` and `platform-` ones belong to keys of the platform alone. */
export const permissions = [
  'tenants:read',
  'tenants:write',
  'platform-keys:read',
  'platform-keys:write',
  'platform-bans:read',
  'platform-bans:write',
  'platform-audit:read',
  'tenant:read',
  'api-keys:read',
  'api-keys:write',
  'profiles:read',
  'profiles:write',
  'devices:read',
  'devices:write',
  'groups:read',
  'groups:write',
  'credentials:read',
  'credentials:write',
  'trust-anchors:read',
  'trust-anchors:write',
  'token-issuers:read',
  'token-issuers:write',
  'authenticator:read',
  'authenticator:write',
  'issuing-authorities:read',
  'issuing-authorities:write',
  'claim-tokens:read',
  'claim-tokens:write',
  'host-names:read',
  'host-names:write',
  'policies:read',
  'policies:write',
  'bans:read',
  'bans:write',
  'address-ranges:read',
  'address-ranges:write',
  'telemetry:read', // payloads, of retained messages too
  'retained:clear',
  'presence:read',
  'sessions:read',
  'sessions:disconnect',
  'denials:read',
  'operations:read',
  'audit:read',
] as const;

export type Permission = (typeof permissions)[number];
export const tenantRoles = ['admin', 'operator', 'viewer'] as const;
export type TenantRole = (typeof tenantRoles)[number];

const viewer: readonly Permission[] = [
  'tenant:read',
  'profiles:read',
  'devices:read',
  'groups:read',
  'credentials:read',
  'trust-anchors:read',
  'token-issuers:read',
  'issuing-authorities:read',
  'claim-tokens:read',
  'host-names:read',
  'policies:read',
  'bans:read',
  'address-ranges:read',
  'telemetry:read',
  'presence:read',
  'sessions:read',
  'denials:read',
  'operations:read',
];

/** Provisions devices; does not decide what devices may do, nor who may administer. */
const operator: readonly Permission[] = [
  ...viewer,
  'devices:write',
  'groups:write',
  'credentials:write',
  'trust-anchors:write',
  'claim-tokens:write',
  'sessions:disconnect',
  'retained:clear',
  'bans:write',
];

const admin: readonly Permission[] = [
  ...operator,
  'token-issuers:write',
  'authenticator:read', // its address may hold a secret of the tenant's
  'authenticator:write',
  'issuing-authorities:write',
  'profiles:write',
  'policies:write',
  'address-ranges:write',
  'api-keys:read',
  'api-keys:write',
  'audit:read',
];

const ofTenant: Readonly<Record<TenantRole, ReadonlySet<Permission>>> = {
  viewer: new Set(viewer),
  operator: new Set(operator),
  admin: new Set(admin),
};
const ofPlatform: ReadonlySet<Permission> = new Set(permissions);
const none: ReadonlySet<Permission> = new Set();

/** An unknown role has no rights. */
export function permissionsOf(role: string, isPlatformKey: boolean): ReadonlySet<Permission> {
  if (isPlatformKey) return role === 'admin' ? ofPlatform : none;
  const known = tenantRoles.find((name) => name === role);
  return known === undefined ? none : ofTenant[known];
}
