import { describe, expect, it } from '@jest/globals';

import { checkRules } from './rules.js';
import { suggestRules, type Deed } from './suggest.js';

const by = (
  device: string,
  action: Deed['action'],
  topic: string,
  attributes: Deed['attributes'] = {},
): Deed => ({
  device,
  clientId: `${device}-a`,
  tenant: 'acme',
  username: `${device}-key@acme`,
  attributes,
  action,
  topic,
});

describe('a suggested policy', () => {
  it("has each device's own names as variables, and each topic once", () => {
    const rules = suggestRules([
      by('pump-1', 'publish', 'devices/pump-1/telemetry'),
      by('pump-2', 'publish', 'devices/pump-2/telemetry'),
      by('pump-1', 'publish', 'log/x-pump-1'),
      by('pump-2', 'subscribe', '$share/g/cmd/pump-2/#'),
    ]);
    expect(rules).toEqual([
      { effect: 'allow', actions: ['publish'], topics: ['devices/${device}/telemetry', 'log/x-${device}'] },
      { effect: 'allow', actions: ['subscribe'], topics: ['cmd/${device}/#'] },
    ]);
    expect(checkRules(rules).ok).toBe(true);
  });

  it('has what else is known of a device as variables, where it is a whole level', () => {
    const rules = suggestRules([
      by('pump-1', 'publish', 'acme/sites/north/pump-1/state', { site: 'north', kind: 'pump' }),
      by('pump-2', 'publish', 'acme/sites/south/pump-2/state', { site: 'south', kind: 'pump' }),
      by('pump-1', 'publish', 'keys/pump-1-key@acme', { site: 'north' }),
      by('pump-1', 'publish', 'northern/acmes/x', { site: 'north', letter: 'x' }),
      by('pump-1', 'publish', 'evil/a+b', { evil: 'a+b' }),
    ]);
    expect(rules[0]?.topics).toEqual([
      '${tenant}/sites/${attr.site}/${device}/state',
      'evil/a+b',
      'keys/${username}',
      'northern/acmes/x',
    ]);
  });

  it('takes the attribute that most have in a topic, where two have the same value, and a name before an attribute', () => {
    const rules = suggestRules([
      by('pump-1', 'publish', 'lines/left', { area: 'left', line: 'left' }),
      by('pump-2', 'publish', 'lines/right', { area: 'attic', line: 'right' }),
      by('pump-2', 'publish', 'devices/pump-2', { serial: 'pump-2' }),
    ]);
    expect(rules[0]?.topics).toEqual(['devices/${device}', 'lines/${attr.line}']);
  });

  it('widens a level where many topics differ in it alone, and not the first', () => {
    const rooms = Array.from({ length: 6 }, (_, room) => by('d-1', 'publish', `house/room-${room}/light`));
    const houses = Array.from({ length: 6 }, (_, house) => by('d-1', 'publish', `house-${house}/door`));
    expect(suggestRules([...rooms, ...houses])[0]?.topics).toEqual([
      ...houses.map(({ topic }) => topic),
      'house/+/light',
    ]);
  });

  it('is none where nothing was done', () => {
    expect(suggestRules([])).toEqual([]);
  });
});
