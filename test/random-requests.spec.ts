/**
 * Requests drawn by lot from what the api says of itself, with ids of two tenants: it never fails, and one tenant's key never brings
 * anything of the other. The seed is fixed in `npm test`; REQUESTS_SEED draws others, REQUESTS more of them.
 */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { getIntrospectionQuery } from 'graphql';
import { startTestApi, type Answer, type TestApi, type TestTenant } from './support/api.js';
import { GraphqlOperations } from './random-requests/graphql.js';
import { RestRequests } from './random-requests/rest.js';
import { Values } from './random-requests/values.js';

const seed = Number(process.env['REQUESTS_SEED'] ?? 20_261_122);
const requests = Number(process.env['REQUESTS'] ?? 1_200);

let api: TestApi;
let acme: TestTenant;
let values: Values;
/** Of the other tenant: no answer to acme holds one. */
let foreign: readonly string[];

beforeAll(async () => {
  api = await startTestApi();
  acme = await api.createTenant('acme');
  const other = await api.createTenant('other');
  const own = await fill(acme);
  foreign = [other.id, ...(await fill(other))];
  values = new Values(seed, [...own, ...own, ...foreign, 'acme', 'other']);
});
afterAll(() => api.stop());

/** One of many things; their ids. */
async function fill({ admin, path }: TestTenant): Promise<string[]> {
  const ids: string[] = [];
  const make = async (resource: string, body: object): Promise<string> => {
    const { status, body: made } = await admin.post(`${path}/${resource}`, body);
    expect([resource, status]).toEqual([resource, 201]);
    ids.push(made.id);
    return made.id;
  };
  const device = await make('devices', { name: 'first' });
  await make(`devices/${device}/credentials`, {});
  await make('groups', { name: 'first' });
  await make('profiles', { name: 'first' });
  await make('policies', { name: 'first', rules: [] });
  await make('claim-tokens', { name: 'first' });
  await make('issuing-authorities', { name: 'first' });
  await make('bans', { kind: 'client-id', value: 'first' });
  return ids;
}

function check(what: string, { status, text, body }: Answer): void {
  if (status >= 500 || text.includes('"internal"')) throw new Error(`${what}: ${status} ${text}`);
  if (status >= 300) return;
  const crossed = foreign.filter((id) => text.includes(id));
  if (crossed.length > 0) throw new Error(`${what}: tells acme of another tenant's ${crossed[0]}: ${text}`);
  values.learn(body);
}

/** What would end the run: the key it is made with, and the tenant it is made in. */
const isTried = (method: string, path: string): boolean =>
  path.startsWith('/v1/tenants/{tenant}/') && !(method === 'delete' && path.includes('/api-keys/'));

it(`REST answers whatever comes (seed ${seed})`, async () => {
  const { body: document } = await api.anonymous.get('/openapi.json');
  const rest = new RestRequests(document, values, isTried);
  const answers = new Map<number, number>();
  for (let n = 0; n < requests; n += 1) {
    const { method, path, headers, text } = rest.next('acme');
    const answer = await acme.admin.call(method, path, { headers, ...(text === undefined ? {} : { text }) });
    check(`${method} ${path} ${text ?? ''}`, answer);
    answers.set(answer.status, (answers.get(answer.status) ?? 0) + 1);
  }
  // They reach what is behind the checks, and all of the checks.
  for (const status of [200, 201, 204, 400, 404, 409, 412, 422, 428])
    expect([...answers.keys()]).toContain(status);
});

it(`GraphQL answers whatever comes (seed ${seed})`, async () => {
  const { body: answer } = await acme.admin.post('/graphql', { query: getIntrospectionQuery() });
  const graphql = new GraphqlOperations(answer.data, values, (field) => field !== 'revokeApiKey');
  const codes = new Set<string>();
  for (let n = 0; n < requests; n += 1) {
    const operation = graphql.next('acme');
    const answered = await acme.admin.post('/graphql', operation);
    check(`${operation.query} ${JSON.stringify(operation.variables)}`, answered);
    codes.add(answered.body.errors?.[0].extensions.code ?? 'done');
  }
  for (const code of ['done', 'invalid-query', 'invalid', 'not-found', 'name-taken'])
    expect([...codes]).toContain(code);
});
