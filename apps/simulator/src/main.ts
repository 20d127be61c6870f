import { createFleet, type Fleet } from './fleet.js';
import { readOptions, usage, UsageError, type Options } from './options.js';
import { endpointFor, inParallel, openPlatform, PlatformError, readBootstrap } from './platform.js';
import { checkWhenGone, checkWhileUp } from './presence-check.js';
import { judge, type Verdict } from './verdict.js';

try {
  const options = readOptions(process.argv.slice(2), process.env);
  if (options === 'help') console.log(usage);
  else process.exitCode = await simulate(options);
} catch (error) {
  if (error instanceof UsageError) console.error(`${error.message}\n\n${usage}`);
  else console.error(error instanceof PlatformError ? error.message : error);
  process.exitCode = 2;
}

/** 0: what was acknowledged is stored, and presence is right. 1: it is not. */
async function simulate(options: Options): Promise<number> {
  const bootstrap = await readBootstrap(options.bootstrapFile);
  const platform = openPlatform(
    bootstrap.api,
    options.tenant ?? bootstrap.tenant,
    options.key ?? bootstrap.adminKey,
  );
  const run = Math.floor(Date.now() / 1000).toString(36);
  console.log(
    `Run ${run}, seed ${options.seed}: ${options.devices} devices, ${options.rate}/s each for ${options.durationS} s, ` +
      `QoS ${options.qos} over ${options.transport}`,
  );
  const names = Array.from({ length: options.devices }, (_, index) => nameOf(run, index));
  const identities = await platform.provision(names);
  console.log(`${identities.length} devices provisioned`);

  const fleet = createFleet(identities, await endpointFor(options, bootstrap), options);
  try {
    await fleet.connect();
    await fleet.run((elapsedS) => showProgress(fleet, elapsedS, options.durationS));
    endProgress();
    const wrongWhileUp = await checkWhileUp(platform, fleet.devices);
    fleet.disconnect();
    const wrongWhenGone = await checkWhenGone(platform, fleet.devices);
    const stored = await inParallel(fleet.devices, ({ identity }) => platform.storedReadings(identity.id));
    return report(options, fleet, judge(fleet.devices, stored), [...wrongWhileUp, ...wrongWhenGone]);
  } finally {
    fleet.disconnect();
  }
}

function nameOf(run: string, index: number): string {
  return `${index % 2 === 0 ? 'wearable' : 'meter'}-${run}-${String(index + 1).padStart(5, '0')}`;
}

function showProgress({ tally, devices }: Fleet, elapsedS: number, durationS: number): void {
  const line =
    `${elapsedS}/${Math.round(durationS)} s  online ${tally.online}/${devices.length}  sent ${tally.sent}  ` +
    `acknowledged ${tally.acknowledged}  resent ${tally.resent}  reconnects ${tally.reconnects}  refused ${tally.refusals}`;
  if (process.stdout.isTTY) process.stdout.write(`\r\u001b[2K${line}`);
  else if (elapsedS % 5 === 0) console.log(line);
}

function endProgress(): void {
  if (process.stdout.isTTY) process.stdout.write('\n');
}

function report(
  { qos }: Options,
  { tally, devices }: Fleet,
  verdict: Verdict,
  wrong: readonly string[],
): number {
  const dead = devices.filter((device) => device.isDead).length;
  const { rss } = process.memoryUsage();
  console.log(`
  measured       ${verdict.produced}
  sent           ${tally.sent}, and ${tally.resent} of them again after a lost connection
  acknowledged   ${qos === 0 ? 'nothing is, at QoS 0' : verdict.acknowledged}
  stored         ${verdict.stored}, counted through the API; ${verdict.duplicates} of them twice
  lost           ${qos === 0 ? `${verdict.produced - verdict.stored}, which QoS 0 may` : verdict.lost}
  reconnects     ${tally.reconnects}, refused ${tally.refusals}${tally.lastTrouble && `, last trouble: ${tally.lastTrouble}`}
  devices        ${devices.length}, ${dead} of them died without a word
  simulator      ${Math.round(rss / 1e6)} MB, ${(process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6).toFixed(1)} s of CPU
`);
  for (const loser of verdict.losers.slice(0, 10)) console.log(`  lost readings of ${loser}`);
  for (const complaint of wrong.slice(0, 10)) console.log(`  presence: ${complaint}`);
  const isWhole = qos === 0 || (verdict.lost === 0 && verdict.acknowledged === verdict.stored);
  if (qos > 0) console.log(isWhole ? 'Acknowledged = stored.' : 'ACKNOWLEDGED AND STORED DIFFER.');
  console.log(wrong.length === 0 ? 'Presence is right.' : `PRESENCE IS WRONG for ${wrong.length}.`);
  return isWhole && wrong.length === 0 ? 0 : 1;
}
