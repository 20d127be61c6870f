// The short form, with the same seed each time unless CRASH_SEED is another; `npm run test:crash` is the long one.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { crashTest, describeReport, type Plan, type Report } from './run.js';

const seed = Number(process.env['CRASH_SEED']);
const lines: string[] = [`CRASH_SEED=${seed}`];
const plan: Plan = {
  seed,
  kills: 4,
  freezeMs: 3_000,
  calmMs: 300,
  publishers: 3,
  rate: 30,
  willClients: 2,
  settleMs: 90_000,
  say: (line) => void lines.push(line),
};

describe('the product, killed under load', () => {
  let right: Promise<Report>;
  let wrong: Promise<Report>;

  // Most of the time both only wait: for a start, for a restart, for a will that is due.
  beforeAll(() => {
    right = crashTest(plan);
    const shorter = { kills: 1, freezeMs: 1_500, willClients: 0, settleMs: 3_000, say: () => undefined };
    wrong = crashTest({ ...plan, ...shorter, isSabotaged: true });
    wrong.catch(() => undefined); // its own test says it
  });

  afterAll(async () => {
    await Promise.allSettled([right, wrong]);
    process.stderr.write(`${lines.join('\n')}\n`);
  }, 900_000);

  it('keeps what it has acknowledged', async () => {
    const report = await right;
    lines.push(describeReport(report));
    expect(report.violations).toEqual([]);
  }, 900_000);

  it('a broker that acknowledges before the commit is caught', async () => {
    const { violations } = await wrong;
    lines.push(
      `acknowledging before the commit: ${violations.length} violations, e.g.`,
      ...violations.slice(0, 4),
    );
    expect(violations).toContainEqual(expect.stringMatching(/acknowledged while PostgreSQL stood still/));
    expect(violations).toContainEqual(expect.stringMatching(/^acknowledged and not stored/));
    expect(violations).toContainEqual(expect.stringMatching(/never got/));
  }, 900_000);
});
