import { describe, expect, it } from '@jest/globals';
import { createLifecycle } from './lifecycle.js';
import { silentLogger } from './logger.js';
import { createReadiness } from './readiness.js';

describe('a process that stops', () => {
  it('is no longer ready, runs its hooks in order, one after another, and exits with 0', async () => {
    const readiness = createReadiness();
    const happened: unknown[] = [];
    const exit = (code: number) => void happened.push(code);
    const lifecycle = createLifecycle({ log: silentLogger(), readiness, exit });
    lifecycle.onStop('listeners', async () => {
      happened.push('closing', readiness.report().ready);
      await new Promise(setImmediate);
      happened.push('closed');
    });
    lifecycle.onStop('store', () => void happened.push('store'));
    await Promise.all([lifecycle.stop('SIGTERM'), lifecycle.stop('SIGTERM again')]);
    expect(happened).toEqual(['closing', false, 'closed', 'store', 0]);
  });

  it('runs the other hooks when one fails, and exits with 1', async () => {
    const happened: unknown[] = [];
    const exit = (code: number) => void happened.push(code);
    const lifecycle = createLifecycle({ log: silentLogger(), exit });
    lifecycle.onStop('broken', () => Promise.reject(new Error('no')));
    lifecycle.onStop('store', () => void happened.push('store'));
    await lifecycle.stop('SIGTERM');
    expect(happened).toEqual(['store', 1]);
  });

  it('gives up a hook that never ends', async () => {
    const exited = new Promise<number>((resolve) => {
      const lifecycle = createLifecycle({ log: silentLogger(), deadlineMs: 5, exit: resolve });
      lifecycle.onStop('stuck', () => new Promise<void>(() => {}));
      void lifecycle.stop('SIGTERM');
    });
    expect(await exited).toBe(1);
  });
});

describe('readiness', () => {
  it('wants every part, and says which one is missing and why', () => {
    const readiness = createReadiness('store', 'listeners');
    readiness.ready('listeners');
    expect(readiness.report()).toEqual({ ready: false, waitingFor: { store: 'starting' } });
    readiness.ready('store');
    expect(readiness.report()).toEqual({ ready: true, waitingFor: {} });
    readiness.notReady('store', 'connection lost');
    expect(readiness.report()).toEqual({ ready: false, waitingFor: { store: 'connection lost' } });
  });
});
