/** When a credential may be used. Times are milliseconds since the epoch. */
export interface Validity {
  readonly notBefore: number | undefined;
  readonly notAfter: number | undefined;
  readonly disabledAt: number | undefined;
}

export type ValidityState = 'valid' | 'disabled' | 'not-yet-valid' | 'expired';

/** Valid from notBefore, included, to notAfter, excluded. */
export function validityAt(validity: Validity, now: number): ValidityState {
  if (validity.disabledAt !== undefined && validity.disabledAt <= now) return 'disabled';
  if (validity.notBefore !== undefined && now < validity.notBefore) return 'not-yet-valid';
  if (validity.notAfter !== undefined && now >= validity.notAfter) return 'expired';
  return 'valid';
}
