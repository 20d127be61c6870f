import { z } from 'zod';
import type { Bootstrap, DemoDevice } from './bootstrap-file.js';
import { restClient, type Rest } from './rest.js';

const slug = 'demo';

/** What makes a first look and a benchmark possible; a tenant of one's own starts with the installation's limits. */
const demoTenant = {
  slug,
  name: 'Demo',
  limits: {
    maxPacketBytes: 16 * 1024 * 1024,
    maxTopicBytes: 65_535,
    maxTopicLevels: 1_024,
    maxUserProperties: 1_000,
    maxTakeovers: 0,
  },
};

/** The two kinds of device that the simulator plays too. */
const demoDevices = ['wearable-1', 'meter-1'];

/** For benchmarks, conformance suites and first steps: any client identifier, any topic of the demo tenant. */
const openDevice = 'open';
const openPolicy = {
  name: 'open',
  description: 'Everything, for the demo credential "open".',
  rules: [
    { effect: 'allow', actions: ['publish', 'subscribe', 'retain'], topics: ['#', '$SYS/#', '$tenant/#'] },
  ],
};

const identified = z.object({ id: z.string() });
const named = z.object({ items: z.array(z.object({ id: z.string(), name: z.string() })) });
const credential = z.object({ username: z.string(), password: z.string() });
type Credential = z.infer<typeof credential>;

/**
 * Sees to it that the demo tenant is there with all that belongs to it, through the public REST API. What an earlier start
 * has made is found again; a credential whose password is not in `before` any more is made anew, for it was shown once.
 */
export async function fillDemoTenant(
  api: string,
  adminKey: string,
  before: Bootstrap | undefined,
): Promise<Pick<Bootstrap, 'tenant' | 'tenantId' | 'devices' | 'open'>> {
  const rest = restClient(api, adminKey);
  const tenant = identified.parse(
    (await rest.find(`/v1/tenants/${slug}`)) ?? (await rest.create('/v1/tenants', demoTenant)),
  );
  // In another database, or a tenant made anew, the old credentials are worth nothing.
  const known = before?.tenantId === tenant.id ? before : undefined;
  const devices: DemoDevice[] = [];
  for (const name of demoDevices) {
    const id = await ensureDevice(rest, name);
    const kept = known?.devices.find((device) => device.id === id);
    devices.push(kept ?? { id, clientId: name, ...(await createCredential(rest, id, { kind: 'device' })) });
  }
  return { tenant: slug, tenantId: tenant.id, devices, open: await ensureOpen(rest, known) };
}

async function ensureOpen(rest: Rest, known: Bootstrap | undefined): Promise<Credential> {
  const id = await ensureDevice(rest, openDevice);
  const policyId = await findNamed(rest, `/v1/tenants/${slug}/policies?limit=200`, openPolicy.name);
  if (policyId === undefined) {
    const policy = identified.parse(await rest.create(`/v1/tenants/${slug}/policies`, openPolicy));
    await rest.create(`/v1/tenants/${slug}/policy-bindings`, {
      policyId: policy.id,
      targetKind: 'device',
      targetId: id,
    });
  }
  return known?.open ?? createCredential(rest, id, { kind: 'any' });
}

async function ensureDevice(rest: Rest, name: string): Promise<string> {
  const devices = `/v1/tenants/${slug}/devices`;
  const found = await findNamed(rest, `${devices}?namePrefix=${name}&limit=200`, name);
  return found ?? identified.parse(await rest.create(devices, { name })).id;
}

async function findNamed(rest: Rest, path: string, name: string): Promise<string | undefined> {
  return named.parse(await rest.find(path)).items.find((item) => item.name === name)?.id;
}

async function createCredential(rest: Rest, deviceId: string, clientIdRule: object): Promise<Credential> {
  return credential.parse(
    await rest.create(`/v1/tenants/${slug}/devices/${deviceId}/credentials`, { clientIdRule }),
  );
}
