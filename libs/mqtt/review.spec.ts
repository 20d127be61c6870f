import { describe, expect, it } from '@jest/globals';

import { Reasons } from './reason.js';
import { Harness } from './testing/index.js';

describe('rights that change by themselves', () => {
  it('are asked for again when that moment has come, without anybody asking for it', async () => {
    const h = new Harness();
    h.gate.reviewAt = h.clock.now() + 60_000;
    const client = await h.connect5('alice');
    await client.subscribe(['a', 'b']);
    h.gate.reviewAt = undefined;
    h.gate.allow({ subscribe: ['b'], publish: [] });
    await h.clock.advance(59_000);
    expect((await client.publish('a', 'before', { qos: 1 }))?.code).toBe(0);
    expect(client.messages()).toEqual(['a before']);
    await h.clock.advance(1_000);
    expect((await client.publish('a', 'after', { qos: 1 }))?.code).toBe(0x87);
    expect(h.journal.denials.map(({ action }) => action)).toEqual(['subscribe', 'publish']);
  });

  it('are asked for until there is an answer, and again at the next moment it names', async () => {
    const h = new Harness();
    h.gate.reviewAt = h.clock.now() + 60_000;
    const client = await h.connect5('alice');
    h.gate.refusal = Reasons.serverUnavailable;
    await h.clock.advance(60_000);
    expect(client.link.isEnded).toBe(false);
    h.gate.refusal = undefined;
    h.gate.reviewAt = h.clock.now() + 10_000;
    await h.clock.advance(1_000);
    h.gate.refusal = Reasons.notAuthorized;
    await h.clock.advance(9_000);
    await client.settle();
    expect(client.goodbye).toBe(0x87);
  });
});
