import { describe, expect, it } from '@jest/globals';

import { parseUsername } from './username.js';

describe('a username', () => {
  it.each([
    ['pump@acme', { authId: 'pump', slug: 'acme' }],
    ['a@b@acme', { authId: 'a@b', slug: 'acme' }],
    ['@acme', undefined],
    ['pump@', undefined],
    ['pump@Acme', undefined],
    ['pump', undefined],
    [`${'x'.repeat(201)}@acme`, undefined],
    [undefined, undefined],
  ])('%s names %j', (username, expected) => {
    expect(parseUsername(username)).toEqual(expected);
  });
});
