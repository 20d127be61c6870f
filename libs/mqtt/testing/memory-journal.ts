import type { DenialNote, Journal, PresenceEvent, Reading, Stored } from '../ports.js';
import { MemoryStore } from './memory-store.js';

/** A real Journal whose tables are arrays; committed by the store it shares with a MemoryVault. */
export class MemoryJournal implements Journal {
  readonly readings: Reading[] = [];
  /** Every event, late ones too. */
  readonly events: PresenceEvent[] = [];
  readonly denials: DenialNote[] = [];
  readonly #current = new Map<string, PresenceEvent>();
  readonly #store: MemoryStore;

  constructor(store: MemoryStore = new MemoryStore()) {
    this.#store = store;
  }

  telemetry(reading: Reading, stored: Stored): void {
    this.#store.write(() => void this.readings.push(reading), stored);
  }

  presence(event: PresenceEvent): void {
    this.#store.write(() => {
      this.events.push(event);
      const key = presenceKey(event.principal.tenantId, event.principal.clientId);
      const known = this.#current.get(key);
      const goes = event.epoch === known?.epoch && known.state === 'online' && event.state === 'offline';
      if (known === undefined || event.epoch > known.epoch || goes) this.#current.set(key, event);
    }, undefined);
  }

  denied(note: DenialNote): void {
    this.denials.push(note);
  }

  /** The client's state of now: the event with the highest epoch; within one a client comes and goes once. */
  current(tenantId: string, clientId: string): PresenceEvent | undefined {
    return this.#current.get(presenceKey(tenantId, clientId));
  }
}

function presenceKey(tenantId: string, clientId: string): string {
  return `${tenantId}/${clientId}`;
}
