import { AddressFence, addressRulesSchema } from '#access';

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
    return (
      describe(this.#find(ofTenant)?.faultOf(address), 'the tenant') ??
      describe(this.#find(ofDevice)?.faultOf(address), 'the device')
    );
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

function describe(fault: ReturnType<AddressFence['faultOf']>, whose: string): string | undefined {
  if (fault === undefined) return undefined;
  return fault === 'denied'
    ? `the address is in a range that ${whose} denies`
    : `the address is in none of the ranges that ${whose} allows`;
}
