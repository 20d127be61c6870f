import { expect, it, jest } from '@jest/globals';

import { Harness } from '#mqtt/testing';
import { createMetrics } from '#process';

import { Admission } from './listeners/admission.js';
import { exposeBroker } from './metrics.js';

const nothingWritten = {
  waiting: 0,
  waitingBytes: 0,
  batches: 0,
  operations: 0,
  retries: 0,
  refused: 0,
  commitMs: 0,
  droppedDenials: 0,
};

it('adds up what all tenants have once for a reading, and anew for the next', async () => {
  const harness = new Harness();
  const { broker } = harness;
  const read = jest.spyOn(broker, 'stats', 'get');
  const registry = createMetrics('broker');
  exposeBroker(registry, broker, new Admission(10), { stats: nothingWritten });
  expect(await registry.metrics()).toMatch(/^moorage_connects_total\{app="broker"\} 0$/m);
  expect(read).toHaveBeenCalledTimes(1);
  await harness.connect('meter');
  expect(await registry.metrics()).toMatch(/^moorage_connects_total\{app="broker"\} 1$/m);
  expect(read).toHaveBeenCalledTimes(2);
});
