import type { Device } from './device.js';
import type { StoredReadings } from './platform.js';

/** What was measured, sent and acknowledged, held against what the API says is stored. */
export interface Verdict {
  readonly produced: number;
  readonly acknowledged: number;
  /** Readings, each counted once. */
  readonly stored: number;
  /** Rows beyond the first of a reading: QoS 1 may deliver twice what it was not told has arrived. */
  readonly duplicates: number;
  /** Acknowledged and not stored: must never be. */
  readonly lost: number;
  /** Stored and never acknowledged: the acknowledgement was under way when it ended. */
  readonly unacknowledged: number;
  /** Devices with any loss, for a person to look at. */
  readonly losers: readonly string[];
}

export function judge(devices: readonly Device[], stored: readonly StoredReadings[]): Verdict {
  const verdict = { produced: 0, acknowledged: 0, stored: 0, duplicates: 0, lost: 0, unacknowledged: 0 };
  const losers: string[] = [];
  for (const [index, device] of devices.entries()) {
    const found = stored[index];
    if (found === undefined) continue;
    const lost = device.acknowledged.lackingIn(found.sequences);
    verdict.produced += device.produced;
    verdict.acknowledged += device.acknowledged.size;
    verdict.stored += found.sequences.size;
    verdict.duplicates += found.rows - found.sequences.size;
    verdict.lost += lost;
    verdict.unacknowledged += found.sequences.lackingIn(device.acknowledged);
    if (lost > 0) losers.push(`${device.identity.name} (${lost})`);
  }
  return { ...verdict, losers };
}
