import { AddressFence, addressRulesSchema } from '#access';

import { UnreadableRulesError } from './policies.js';

/** Of the rules that are kept, as text: a device may have hundreds of ranges, and a tenant any number of devices. */
const maxCharacters = 4_000_000;

/** From where a tenant's clients, or one of its devices, may come. */
export class AddressFences {
  /** By their rules, as text: most of them are alike. */
  readonly #fences = new Map<string, AddressFence>();
  #characters = 0;

  /** As stored. Undefined: from anywhere. Throws UnreadableRulesError: fences that cannot be read hold everybody off. */
  of(rules: unknown): AddressFence | undefined {
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
