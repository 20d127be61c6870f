/** Why a durable write of the broker is refused; `code` is stable. What PostgreSQL itself says is a StoreError. */
export type VaultErrorCode =
  | 'vault.stale-epoch' // somebody claimed the session with a higher epoch
  | 'vault.no-session' // the session has ended
  | 'vault.lease-lost' // this process was given up, its sessions are others' now
  | 'vault.unavailable' // the database cannot be used now; only claims and reads say so, writes wait
  | 'vault.refused' // PostgreSQL refuses this very row, whatever it comes with
  | 'vault.closed'; // the store was closed before it was written

export class VaultError extends Error {
  override readonly name = 'VaultError';

  constructor(
    readonly code: VaultErrorCode,
    message: string,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

export function staleEpoch(session: { readonly clientId: string; readonly epoch: number }): VaultError {
  return new VaultError(
    'vault.stale-epoch',
    `epoch ${session.epoch} of client ${session.clientId} is not the newest`,
  );
}

export function noSession(session: { readonly clientId: string }): VaultError {
  return new VaultError('vault.no-session', `client ${session.clientId} has no durable session`);
}

export function leaseLost(): VaultError {
  return new VaultError('vault.lease-lost', 'this process lost its lease: its sessions belong to others');
}

export function unavailable(cause: unknown): VaultError {
  return new VaultError('vault.unavailable', 'the database cannot be used now', cause);
}

export function closed(): VaultError {
  return new VaultError('vault.closed', 'the store was closed first');
}
