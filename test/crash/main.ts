// npm run test:crash -- [seed] [kills]
import { crashTest, describeReport } from './run.js';

const [seedText = String(Math.floor(Math.random() * 1e9)), killsText = '50'] = process.argv.slice(2);
const seed = Number(seedText);
const kills = Number(killsText);
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(kills) || kills < 1) {
  console.error('npm run test:crash -- [seed] [kills]');
  process.exit(2);
}
const startedAt = Date.now();
const say = (line: string): void =>
  console.log(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`);

console.log(`seed ${seed}, ${kills} kills`);
const report = await crashTest({
  seed,
  kills,
  freezeMs: 20_000,
  calmMs: 1_500,
  publishers: 6,
  rate: 30,
  willClients: 8,
  settleMs: 120_000,
  say,
});
console.log(`seed ${seed}\n${describeReport(report)}`);
process.exitCode = report.violations.length === 0 ? 0 : 1;
