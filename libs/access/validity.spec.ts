import { describe, expect, it } from '@jest/globals';

import { validityAt } from './validity.js';

describe('the validity of a credential', () => {
  const always = { notBefore: undefined, notAfter: undefined, disabledAt: undefined };

  it.each([
    [always, 'valid'],
    [{ ...always, notBefore: 100 }, 'valid'],
    [{ ...always, notBefore: 101 }, 'not-yet-valid'],
    [{ ...always, notAfter: 101 }, 'valid'],
    [{ ...always, notAfter: 100 }, 'expired'],
    [{ ...always, disabledAt: 100 }, 'disabled'],
    [{ ...always, disabledAt: 101 }, 'valid'],
  ])('%j at 100 is %s', (validity, state) => {
    expect(validityAt(validity, 100)).toBe(state);
  });
});
