import { describe, expect, it } from '@jest/globals';
import { buildSchema, getIntrospectionQuery, parse } from 'graphql';
import { exceeds, measureOperation, operationLimits } from './cost.js';

const schema = buildSchema(`
  type Query { devices(first: Int): Connection!, device: Device, count: Int }
  type Connection { edges: [Edge!]!, total: Int }
  type Edge { node: Device! }
  type Device { name: String, profile: Profile, credentials: [Credential!]! }
  type Profile { name: String, device: Device }
  type Credential { id: ID }
`);

function measure(query: string, variables: Record<string, unknown> = {}, operationName?: string) {
  return measureOperation(schema, parse(query), operationName, variables);
}

describe('the cost of an operation', () => {
  it('counts objects, not scalars', () => {
    expect(measure('{ device { name profile { name } } count }')).toEqual({
      depth: 3,
      rootFields: 2,
      cost: 2,
      devices: 0,
      credentials: 0,
    });
  });

  it('multiplies by the page asked for, literally, by a variable or by default', () => {
    const query = (first: string) =>
      `query($n: Int) { devices${first} { edges { node { profile { name } } } } }`;
    const small = measure(query('(first: 1)')).cost;
    expect(measure(query('(first: 200)')).cost).toBeGreaterThan(100 * small);
    expect(measure(query('(first: $n)'), { n: 200 })).toEqual(measure(query('(first: 200)')));
    const byDefault = 'query($n: Int = 200) { devices(first: $n) { edges { node { profile { name } } } } }';
    expect(measure(byDefault)).toEqual(measure(query('(first: 200)')));
    expect(measure(query(''))).toEqual(measure(query('(first: 50)')));
  });

  it('counts aliases as often as they are written', () => {
    const aliases = Array.from({ length: 21 }, (_, index) => `a${index}: count`).join(' ');
    expect(exceeds(measure(`{ ${aliases} }`), operationLimits)).toMatch('21 root fields');
  });

  it('refuses nesting beyond the limit', () => {
    const query = `{ device ${'{ profile { device '.repeat(6)} { name } ${'} }'.repeat(6)} }`;
    expect(exceeds(measure(query), operationLimits)).toMatch('levels deep');
  });

  it('measures fragments that multiply each other in linear time', () => {
    const fragments = Array.from(
      { length: 60 },
      (_, index) =>
        `fragment F${index} on Device { ${index === 59 ? 'profile { name }' : `...F${index + 1} ...F${index + 1}`} }`,
    ).join('\n');
    expect(exceeds(measure(`{ device { ...F0 } } ${fragments}`), operationLimits)).toMatch('costs');
  });

  it('measures the operation that is run', () => {
    const query = 'query A { count } query B { device { profile { name } } }';
    expect(measure(query, {}, 'A').depth).toBe(1);
    expect(measure(query, {}, 'B').depth).toBe(3);
  });

  it('lets introspection pass', () => {
    expect(exceeds(measure(getIntrospectionQuery()), operationLimits)).toBeUndefined();
  });
});
