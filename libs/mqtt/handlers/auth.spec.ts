import { beforeEach, describe, expect, it } from '@jest/globals';

import { Reasons } from '../reason.js';
import type { Exchange, SignIn } from '../ports.js';
import { frame, Harness, properties, property, type Properties, type TestClient } from '../testing/index.js';
import type { ClientId } from '../message.js';

let h: Harness;
/** Whom the exchange lets in. */
let username: string;

/** A method in two steps: any first data, then `secret`. */
const asks = (request: SignIn): Exchange => {
  let isChallenged = false;
  return {
    next: async (data) => {
      if (!isChallenged) {
        isChallenged = true;
        return { kind: 'challenge', data: Buffer.from(`challenge for ${data?.toString()}`) };
      }
      const grant = h.gate.grantTo(username, request.clientId as ClientId);
      if (grant.kind === 'refused') return grant;
      if (data?.toString() === 'secret') return { grant, data: Buffer.from('proof') };
      const reason = Reasons.badUserNameOrPassword;
      return { kind: 'refused', reason, detail: 'wrong', tenantId: grant.principal.tenantId };
    },
  };
};

beforeEach(() => {
  h = new Harness();
  username = 'device@tenant-a';
  h.gate.offer('ASK', asks);
});

const method: Properties = [['authenticationMethod', 'ASK']];

function auth(code: number, data?: string, of: Properties = method): Buffer {
  const list: Properties = data === undefined ? of : [...of, ['authenticationData', data]];
  return frame(0xf0, Buffer.from([code]), properties(list));
}

function begin(clientId = 'c'): Promise<TestClient> {
  return h.connect5(clientId, { properties: [...method, ['authenticationData', 'hello']] });
}

async function signIn(clientId = 'c'): Promise<TestClient> {
  const client = await begin(clientId);
  await client.send(auth(0x18, 'secret'));
  expect(client.connack?.code).toBe(0);
  client.take();
  return client;
}

describe('enhanced authentication', () => {
  it('goes on with AUTH 0x18 and the method of CONNECT until there is a CONNACK, which carries the last data', async () => {
    const client = await begin();
    const [challenge] = client.take();
    expect([challenge?.type, challenge?.code]).toEqual(['auth', 0x18]);
    expect(property(challenge, 'authenticationMethod')).toBe('ASK');
    expect(property(challenge, 'authenticationData')?.toString()).toBe('challenge for hello');
    await client.send(auth(0x18, 'secret'));
    const [connack] = client.take();
    expect([connack?.type, connack?.code]).toEqual(['connack', 0]);
    expect(property(connack, 'authenticationMethod')).toBe('ASK');
    expect(property(connack, 'authenticationData')?.toString()).toBe('proof');
    expect(await client.ping()).toBe(true);
  });

  it('that fails is refused with its reason, and the link closes', async () => {
    const client = await begin();
    await client.send(auth(0x18, 'wrong'));
    expect(client.connack?.code).toBe(0x86);
    expect(client.link.isEnded).toBe(true);
    expect(h.journal.denials).toMatchObject([{ action: 'connect', detail: 'wrong' }]);
  });

  it('by a method that is not offered is refused with 0x8C', async () => {
    const client = await h.connect5('c', { properties: [['authenticationMethod', 'OTHER']] });
    expect(client.connack?.code).toBe(0x8c);
    expect(client.link.isEnded).toBe(true);
  });

  it('is not asked of a client that names no method, nor named in its CONNACK', async () => {
    const client = await h.connect5('c');
    expect(client.packets.map(({ type }) => type)).toEqual(['connack']);
    expect(property(client.connack, 'authenticationMethod')).toBeUndefined();
  });

  it.each<[string, () => Buffer]>([
    ['another method', () => auth(0x18, 'secret', [['authenticationMethod', 'OTHER']])],
    ['no method', () => auth(0x18, 'secret', [])],
    ['a re-authentication before CONNACK', () => auth(0x19, 'hello')],
    ['a packet that is not AUTH', () => frame(0xc0)],
  ])('ends on AUTH with %s', async (_, bytes) => {
    const client = await begin();
    await client.send(bytes());
    expect(client.connack?.code).toBeGreaterThanOrEqual(0x80);
    expect(client.link.isEnded).toBe(true);
  });

  it('that is not finished ends at the sign-in deadline', async () => {
    const client = await begin();
    await h.clock.advance(60_000);
    await client.settle();
    expect(client.connack?.code).toBe(0x87);
    expect(client.link.isEnded).toBe(true);
  });

  it('whose client goes away leaves nothing behind', async () => {
    const client = await begin();
    await client.cut();
    expect(h.broker.stats.links).toBe(0);
    expect(h.clock.pendingAlarms).toBe(0);
  });
});

describe('AUTH on a connection', () => {
  it.each([0x18, 0x19])('without a method in CONNECT is a protocol error, code %i', async (code) => {
    const client = await h.connect5('c');
    await client.send(auth(code));
    expect(client.goodbye).toBe(0x82);
  });

  it('0x18 without a re-authentication under way is a protocol error', async () => {
    const client = await signIn();
    await client.send(auth(0x18, 'secret'));
    expect(client.goodbye).toBe(0x82);
  });

  it('of a second re-authentication while one is under way is a protocol error', async () => {
    const client = await signIn();
    await client.send(auth(0x19, 'hello'), auth(0x19, 'hello'));
    expect(client.goodbye).toBe(0x82);
  });

  it('with the reserved flags set is malformed', async () => {
    const client = await signIn();
    const bytes = auth(0x19, 'hello');
    bytes[0] = 0xf1;
    await client.send(bytes);
    expect(client.goodbye).toBe(0x81);
  });
});

describe('re-authentication', () => {
  it('swaps the rights of the connection, and messages flow on meanwhile', async () => {
    const client = await signIn();
    await client.subscribe(['kept', 'lost']);
    client.take();
    h.gate.allow({ subscribe: ['kept'], publish: ['kept'] });
    await client.send(auth(0x19, 'again'));
    await client.publish('lost', 'under way', { qos: 0 });
    expect(client.take().map(({ type, code }) => [type, code])).toEqual([
      ['auth', 0x18],
      ['publish', 0],
    ]);
    await client.send(auth(0x18, 'secret'));
    const [done] = client.take();
    expect([done?.type, done?.code, property(done, 'authenticationData')?.toString()]).toEqual([
      'auth',
      0,
      'proof',
    ]);
    expect((await client.publish('lost', '', { qos: 1 }))?.code).toBe(0x87);
    await client.publish('kept', 'x');
    expect(client.messages()).toEqual(['kept x']);
  });

  it('that fails closes the connection with a reason that DISCONNECT has', async () => {
    const client = await signIn();
    await client.send(auth(0x19, 'again'));
    await client.send(auth(0x18, 'wrong'));
    expect(client.goodbye).toBe(0x87);
    expect(client.link.isEnded).toBe(true);
  });

  it("as somebody else is refused: the connection is one principal's", async () => {
    const client = await signIn();
    username = 'device@tenant-b';
    await client.send(auth(0x19, 'again'));
    await client.send(auth(0x18, 'secret'));
    expect(client.goodbye).toBe(0x87);
  });

  it('that the client leaves half-way ends the connection after as long as a sign-in may take', async () => {
    const client = await signIn();
    await client.send(auth(0x19, 'again'));
    await h.clock.advance(9_000);
    expect(client.link.isEnded).toBe(false);
    await h.clock.advance(2_000);
    await client.settle();
    expect(client.goodbye).toBe(0x87);
    const finishing = await signIn();
    await finishing.send(auth(0x19, 'again'));
    await finishing.send(auth(0x18, 'secret'));
    await h.clock.advance(60_000);
    expect(finishing.link.isEnded).toBe(false);
  });

  it('moves the end of the credential', async () => {
    h.gate.expiresAt = h.clock.now() + 10_000;
    const client = await signIn();
    h.gate.expiresAt = h.clock.now() + 60_000;
    await client.send(auth(0x19, 'again'));
    await client.send(auth(0x18, 'secret'));
    await h.clock.advance(20_000);
    expect(client.link.isEnded).toBe(false);
    await h.clock.advance(50_000);
    await client.settle();
    expect(client.goodbye).toBe(0x87);
  });

  it('gives back no right that goes while it lasts', async () => {
    const client = await signIn();
    await client.subscribe('a');
    const exchange = h.gate.exchange.bind(h.gate);
    h.gate.exchange = (name, request) => {
      const steps = exchange(name, request);
      if (steps === undefined) return undefined;
      const next: Exchange['next'] = async (data) => {
        const answer = await steps.next(data);
        if ('grant' in answer) {
          h.gate.allow({ subscribe: [], publish: [] });
          await h.broker.reauthorize(client.tenantId, () => true);
        }
        return answer;
      };
      return { next };
    };
    await client.send(auth(0x19, 'again'));
    await client.send(auth(0x18, 'secret'));
    expect((await client.publish('a', '', { qos: 1 }))?.code).toBe(0x87);
  });

  it('is one at a time: AUTH out of turn closes the connection', async () => {
    for (const second of [auth(0x18, 'early'), auth(0x19, 'again')]) {
      const client = await signIn();
      client.link.send(Buffer.concat([auth(0x19, 'again'), second]));
      await client.settle();
      expect(client.goodbye).toBe(0x82);
    }
  });
});
