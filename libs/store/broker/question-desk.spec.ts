import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';

import { QuestionDesk } from './question-desk.js';

describe('a desk that cannot connect', () => {
  it('tries again after a pause, and not as fast as it can', async () => {
    let errors = 0;
    const desk = new QuestionDesk({
      url: 'postgres://nobody:nothing@127.0.0.1:1/nowhere',
      processId: '018f4e8e-0000-7000-8000-000000000002',
      answer: () => Promise.resolve({ clients: [], isComplete: true }),
      onError: () => (errors += 1),
    });
    desk.start();
    await sleep(1_000);
    await desk.stop();
    expect(errors).toBeGreaterThan(0);
    expect(errors).toBeLessThan(10);
  });
});
