import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestApi, type TestApi, type TestTenant } from '../../../../test/support/api.js';

let api: TestApi;
let tenant: TestTenant;
let path: string;
beforeAll(async () => {
  api = await startTestApi();
  tenant = await api.createTenant('issuers');
  path = `${tenant.path}/token-issuers`;
});
afterAll(() => api.stop());

const jwksUri = 'https://idp.example/jwks';
const jwks = {
  keys: [generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })],
};

describe('where the keys of a token issuer are', () => {
  it('is taken as it is shown, with the null of what is not there', async () => {
    const made = { name: 'one', issuer: 'https://one', audiences: ['m'], jwksUri, jwks: null };
    const { status, body } = await tenant.admin.post(path, made);
    expect([status, body]).toMatchObject([201, { jwksUri, jwks: null }]);
    const self = `${path}/${body.id}`;
    const same = await tenant.admin.patch(self, { jwksUri, jwks: null });
    expect([same.status, same.body]).toMatchObject([200, { jwksUri, jwks: null }]);
    const other = await tenant.admin.patch(self, { jwksUri: null, jwks });
    expect([other.status, other.body]).toMatchObject([200, { jwksUri: null, jwks }]);
  });

  it('is not left open: one of the two has to stay', async () => {
    const made = { name: 'two', issuer: 'https://two', audiences: ['m'], jwksUri: null, jwks };
    const { body } = await tenant.admin.post(path, made);
    for (const patch of [{ jwks: null }, { jwks: null, jwksUri: null }]) {
      const refused = await tenant.admin.patch(`${path}/${body.id}`, patch);
      expect([refused.status, refused.body.errors]).toMatchObject([
        422,
        [{ pointer: '#/jwks', code: 'required' }],
      ]);
    }
    const nothing = await tenant.admin.post(path, { ...made, name: 'three', jwks: null });
    expect([nothing.status, nothing.body.errors]).toMatchObject([422, [{ code: 'required' }]]);
  });
});
