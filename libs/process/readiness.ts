export interface ReadinessReport {
  readonly ready: boolean;
  /** What is not ready, and why: `{ "store": "connecting" }`. */
  readonly waitingFor: Readonly<Record<string, string>>;
}

/**
 * Whether this process should be given work. Every part named at creation must say `ready` first; any part may say
 * `notReady` again later, with a reason a person can use.
 */
export interface Readiness {
  ready(part: string): void;
  notReady(part: string, why: string): void;
  report(): ReadinessReport;
}

export function createReadiness(...parts: readonly string[]): Readiness {
  const waitingFor = new Map(parts.map((part) => [part, 'starting']));
  return {
    ready: (part) => void waitingFor.delete(part),
    notReady: (part, why) => void waitingFor.set(part, why),
    report: () => ({ ready: waitingFor.size === 0, waitingFor: Object.fromEntries(waitingFor) }),
  };
}
