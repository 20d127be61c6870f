import { expect, it } from '@jest/globals';

import { createMetrics } from './metrics.js';

it("a process's metrics are none for which what it has open is listed", async () => {
  const text = await createMetrics('test').metrics();
  expect(text).toMatch(/^process_resident_memory_bytes\{app="test"\} \d+$/m);
  expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds\{app="test"\} \S+$/m);
  expect(text).not.toMatch(/_open_fds|_active_/);
});
