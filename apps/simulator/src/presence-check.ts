import { willPayload, type Device } from './device.js';
import type { Platform, PresenceRow } from './platform.js';

// A dead device is found out after one and a half times its keep-alive of ten seconds.
const patienceMs = 30_000;

/** While the fleet is up: the living are online, the dead offline, with the will they left. */
export function checkWhileUp(platform: Platform, devices: readonly Device[]): Promise<readonly string[]> {
  return settle(platform, devices, (device, row) => {
    if (!device.isDead) return row.state === 'online';
    return row.state === 'offline' && (row.cause === 'presumed' || foundBySilence(row));
  });
}

/** After it has gone: all offline, and those who said goodbye left no will. */
export function checkWhenGone(platform: Platform, devices: readonly Device[]): Promise<readonly string[]> {
  return settle(platform, devices, (device, row) => {
    if (device.isDead) return row.state === 'offline';
    return row.state === 'offline' && row.cause === 'clean' && row.will === null;
  });
}

/** Presumed, otherwise: the broker process that held the connection died meanwhile, and the next one concluded it. */
function foundBySilence({ cause, will }: PresenceRow): boolean {
  return cause === 'keep-alive' && will === encodedWill;
}

const encodedWill = Buffer.from(willPayload).toString('base64');

/** Asks until all is as it should be, or patience ends; returns what is not, in words. */
async function settle(
  platform: Platform,
  devices: readonly Device[],
  isRight: (device: Device, row: PresenceRow) => boolean,
): Promise<readonly string[]> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const rows = await platform.presence();
    const wrong = devices.flatMap((device) => {
      const row = rows.get(device.identity.name);
      if (row !== undefined && isRight(device, row)) return [];
      const shown = row === undefined ? 'unknown' : `${row.state} (${row.cause})`;
      return [`${device.identity.name}${device.isDead ? ', dead,' : ''} is ${shown}`];
    });
    if (wrong.length === 0 || performance.now() > deadline) return wrong;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
