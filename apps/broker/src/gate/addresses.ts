import { AddressFence, addressRulesSchema, describeAddressFault } from '#access';

import { UnreadableRulesError } from './policies.js';

/** Of the rules that are kept, as text: a device may have hundreds of ranges, and a tenant any number of devices. */
const maxCharacters = 4_000_000;

/** From where a tenant's clients, and one of its devices, may come. Both must let an address in. */
export class AddressFences {
  /** By their rules, as text: most of them are alike. */
  readonly #fences = new Map<string, AddressFence>();
  #characters = 0;

  /** Why the address may not connect, for the tenant. Throws UnreadableRulesError: fences that cannot be read hold everybody off. */
  faultOf(ofTenant: unknown, ofDevice: unknown, address: string | undefined): string | undefined {
    const fault = this.#find(ofTenant)?.faultOf(address);
    if (fault !== undefined) return describeAddressFault(fault, 'tenant');
    const own = this.#find(ofDevice)?.faultOf(address);
    return own && describeAddressFault(own, 'device');
  }

  #find(rules: unknown): AddressFence | undefined {
    const text = JSON.stringify(rules);
    if (text === '{}') return undefined;
    let fence = this.#fences.get(text);
    if (fence === undefined) {
      const parsed = addressRulesSchema.safeParse(rules);
      if (!parsed.success) throw new UnreadableRulesError('the ranges of addresses cannot be read');
      if ((this.#characters += text.length) > maxCharacters) {
        this.#fences.clear();
        this.#characters = text.length;
      }
      this.#fences.set(text, (fence = new AddressFence(parsed.data)));
    }
    return fence;
  }
}
