import type { ClientId, Principal, TenantId } from '../ports.js';
import { journalContract } from './journal-contract.js';
import { MemoryJournal } from './memory-journal.js';
import { MemoryStore } from './memory-store.js';
import { MemoryVault } from './memory-vault.js';
import { vaultContract } from './vault-contract.js';

const tenants = ['tenant-a' as TenantId, 'tenant-b' as TenantId] as const;

function principal(tenantId: TenantId, clientId: string): Principal {
  return {
    tenantId,
    deviceId: `device-${clientId}`,
    credentialId: 'credential',
    username: `${clientId}@${tenantId}`,
    clientId: clientId as ClientId,
  };
}

vaultContract('a Map', async () => {
  let vault = new MemoryVault();
  return {
    vault,
    tenants,
    principal,
    reopen: async () => (vault = vault.reopen()),
    close: async () => undefined,
  };
});

journalContract('arrays', async () => {
  const store = new MemoryStore();
  const journal = new MemoryJournal(store);
  return {
    journal,
    tenants,
    principal,
    flush: () => store.flush(),
    readings: async (tenantId) =>
      journal.readings
        .filter((reading) => reading.principal.tenantId === tenantId)
        .map(({ principal: { deviceId }, message: { topic, payload, receivedAt } }) => ({
          deviceId,
          topic,
          payload,
          receivedAt,
        })),
    presence: async (tenantId, clientId) => journal.current(tenantId, clientId),
    history: async (tenantId, clientId) =>
      journal.events.filter(
        (event) => event.principal.tenantId === tenantId && event.principal.clientId === clientId,
      ),
    denials: async (tenantId) =>
      journal.denials
        .filter((note) => note.tenantId === tenantId)
        .map(({ clientId, action, topic, reason, count = 1 }) => ({
          clientId,
          action,
          topic,
          reason: reason.name,
          count,
        })),
    close: async () => undefined,
  };
});
