import { describe, expect, it } from '@jest/globals';

import type { TenantId } from './message.js';
import { Harness, MemoryNews } from './testing/index.js';

const tenantA = 'tenant-a' as TenantId;
const tenantB = 'tenant-b' as TenantId;
const meter = '$tenant/presence/meter';

function start(): { readonly h: Harness; readonly news: MemoryNews } {
  const news = new MemoryNews();
  return { h: new Harness({ news }), news };
}

describe('$tenant', () => {
  it('tells a new subscription what stands, as retained messages, and then what changes', async () => {
    const { h, news } = start();
    for (const name of ['a', 'b', 'c', 'd', 'e']) news.report(tenantA, `$tenant/presence/${name}`, 'online');
    const watcher = await h.connect('watcher');
    await watcher.subscribe('$tenant/presence/+');
    await h.clock.advance(1_000);
    await watcher.settle();
    const packets = watcher.take('publish');
    expect(packets.map(({ topic }) => topic?.at(-1))).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(packets.every(({ retain, qos }) => retain && qos === 0)).toBe(true);
    news.report(tenantA, '$tenant/presence/a', 'offline');
    await watcher.settle();
    const [packet, ...more] = watcher.take('publish');
    expect([packet?.topic, packet?.payload, packet?.retain, more.length]).toEqual([
      '$tenant/presence/a',
      'offline',
      false,
      0,
    ]);
  });

  it('is followed while somebody is subscribed, and no longer', async () => {
    const { h, news } = start();
    const watcher = await h.connect('watcher');
    await watcher.subscribe('#');
    expect(news.followed).toEqual([]);
    await watcher.subscribe(['$tenant/denials', meter]);
    expect(news.followed).toEqual([tenantA]);
    await watcher.unsubscribe('$tenant/denials');
    expect(news.followed).toEqual([tenantA]);
    await watcher.disconnect();
    expect(news.followed).toEqual([]);
  });

  it('never reaches a leading wildcard, nor anybody without a right that names it', async () => {
    const { h, news } = start();
    news.report(tenantA, meter, 'online');
    const wild = await h.connect('wild');
    await wild.subscribe(['#', '+/presence/meter']);
    h.gate.allow({ subscribe: ['devices/#', '#'] }, 'stranger');
    const stranger = await h.connect('stranger');
    expect((await stranger.subscribe(meter))?.codes).toEqual([0x80]);
    news.report(tenantA, meter, 'offline');
    await wild.settle();
    expect(wild.messages()).toEqual([]);
    expect(stranger.messages()).toEqual([]);
  });

  it('never crosses tenants', async () => {
    const { h, news } = start();
    news.report(tenantB, meter, 'online');
    const watcher = await h.connect('watcher');
    const other = await h.connect('watcher', { username: 'x@tenant-b', password: 'secret' });
    await watcher.subscribe('$tenant/#');
    await other.subscribe('$tenant/#');
    news.report(tenantB, meter, 'offline');
    await watcher.settle();
    await other.settle();
    expect(watcher.messages()).toEqual([]);
    expect(other.messages()).toEqual([`${meter} online`, `${meter} offline`]);
  });

  it('is nobody’s to publish to', async () => {
    const { h } = start();
    const watcher = await h.connect5('watcher');
    await watcher.subscribe('$tenant/#');
    const liar = await h.connect5('liar');
    expect((await liar.publish(meter, 'online', { qos: 1 }))?.code).toBe(0x87);
    expect(watcher.messages()).toEqual([]);
  });

  it('reaches one of a shared subscription, where a right names it, with what changes and not what stands', async () => {
    const { h, news } = start();
    news.report(tenantA, meter, 'online');
    h.gate.allow({ subscribe: ['#'] }, 'stranger');
    const stranger = await h.connect5('stranger');
    for (const filter of ['$share/g/$tenant/presence/#', '$share/g/$tenant/#', '$share/g/#'])
      await stranger.subscribe(filter);
    const members = [await h.connect5('one'), await h.connect5('two')];
    for (const member of members) await member.subscribe('$share/g/$tenant/presence/#');
    for (const state of ['offline', 'online']) news.report(tenantA, meter, state);
    for (const client of [stranger, ...members]) await client.settle();
    const heard = members.flatMap((member) => member.messages());
    expect(heard.toSorted()).toEqual([`${meter} offline`, `${meter} online`]);
    expect(stranger.messages()).toEqual([]);
    for (const member of members) await member.disconnect();
    expect(news.followed).toEqual([]);
  });

  it('is asked for again while the store is away', async () => {
    const { h, news } = start();
    news.report(tenantA, meter, 'online');
    news.isDown = true;
    const watcher = await h.connect('watcher');
    await watcher.subscribe(meter);
    expect(watcher.messages()).toEqual([]);
    news.isDown = false;
    await h.clock.advance(1_000);
    await watcher.settle();
    expect(watcher.messages()).toEqual([`${meter} online`]);
  });
});
