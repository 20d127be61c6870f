import { afterAll, describe, expect, it } from '@jest/globals';
import { crashTest, describeReport, type Plan } from './run.js';

const seed = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 1e9));
const lines: string[] = [`CRASH_SEED=${seed}`];
const short: Plan = {
  seed,
  kills: 5,
  freezeMs: 3_000,
  calmMs: 600,
  publishers: 4,
  rate: 30,
  willClients: 3,
  settleMs: 20_000,
  say: (line) => void lines.push(line),
};

describe('the product, killed under load', () => {
  afterAll(() => void process.stderr.write(`${lines.join('\n')}\n`));

  it('keeps what it has acknowledged', async () => {
    const report = await crashTest(short);
    lines.push(describeReport(report));
    expect(report.violations).toEqual([]);
  }, 120_000);

  it('a broker that acknowledges before the commit is caught', async () => {
    const report = await crashTest({
      ...short,
      kills: 1,
      freezeMs: 1_500,
      willClients: 0,
      settleMs: 3_000,
      isSabotaged: true,
    });
    lines.push('acknowledging before the commit:', describeReport(report));
    expect(report.violations).toContainEqual(
      expect.stringMatching(/acknowledged while PostgreSQL stood still/),
    );
    expect(report.violations).toContainEqual(expect.stringMatching(/^acknowledged and not stored/));
    expect(report.violations).toContainEqual(expect.stringMatching(/never got/));
  }, 120_000);
});
