// Nobody gets across by MQTT either: whatever a client of another tenant does, under the same names, is as if it were not done.
import { describe, expect, it } from '@jest/globals';

import { Harness, type TestClient } from './testing/index.js';

const ours = 'a@tenant-a';
const theirs = 'b@tenant-b';

/** Somebody of the tenant does it, to everything that has the names below. */
const deeds: Readonly<Record<string, (h: Harness, username: string) => Promise<unknown>>> = {
  'a message of QoS 0': async (h, username) => (await h.connect('x', { username })).publish('a', 'new'),
  'a message of QoS 2': async (h, username) =>
    (await h.connect('x', { username })).publish('a', 'new', { qos: 2 }),
  'a retained message': async (h, username) =>
    (await h.connect('x', { username })).publish('kept', 'new', { retain: true }),
  'clearing a retained message': async (h, username) =>
    (await h.connect('x', { username })).publish('kept', '', { retain: true }),
  'a will': async (h, username) =>
    (await h.connect('x', { username, will: { topic: 'a', payload: 'will' } })).cut(),
  'taking over a session': (h, username) => h.connect('alice', { username, clean: false }),
  'a clean start': async (h, username) => (await h.connect('away', { username })).disconnect(),
  'being a member of the shared subscription': async (h, username) =>
    (await h.connect('x', { username })).subscribe('$share/group/work'),
  'coming back and unsubscribing': async (h, username) => {
    const away = await h.connect('away', { username, clean: false });
    await away.unsubscribe('queued');
    await away.disconnect();
  },
};

async function tenantOfOurs(): Promise<{ h: Harness; clients: Readonly<Record<string, TestClient>> }> {
  const h = new Harness();
  const connect = async (clientId: string, filter: string, clean = true): Promise<TestClient> => {
    const client = await h.connect(clientId, { username: ours, clean });
    await client.subscribe(filter);
    return client;
  };
  const clients = {
    witness: await connect('witness', '#'),
    alice: await connect('alice', 'a', false),
    member: await connect('member', '$share/group/work'),
  };
  await clients.witness.publish('kept', 'old', { retain: true });
  await (await connect('away', 'queued', false)).disconnect();
  await clients.witness.publish('queued', 'waits', { qos: 1 });
  for (const client of Object.values(clients)) client.take();
  return { h, clients };
}

/** What our tenant can tell of it. */
async function traces(h: Harness, clients: Readonly<Record<string, TestClient>>): Promise<object> {
  const publisher = await h.connect('publisher', { username: ours });
  for (let n = 0; n < 4; n++) await publisher.publish('work', String(n));
  await publisher.subscribe('kept');
  const away = await h.connect('away', { username: ours, clean: false });
  const heard: object[] = [];
  for (const client of [...Object.values(clients), publisher, away]) {
    await client.settle();
    const { clientId, connack, link } = client;
    heard.push([clientId, connack?.sessionPresent, client.messages(), link.isEnded]);
  }
  return heard;
}

describe('of a client of another tenant nothing is seen:', () => {
  it.each(Object.entries(deeds))('%s', async (_, deed) => {
    const undisturbed = await tenantOfOurs();
    const nothing = await traces(undisturbed.h, undisturbed.clients);

    const foreign = await tenantOfOurs();
    await deed(foreign.h, theirs);
    expect(await traces(foreign.h, foreign.clients)).toEqual(nothing);

    // Of a client of their own they do see it.
    const own = await tenantOfOurs();
    await deed(own.h, ours);
    expect(await traces(own.h, own.clients)).not.toEqual(nothing);
  });
});
