import { describe, expect, it } from '@jest/globals';

import { isInTurn, type ClientPresence } from './presence-machine.js';

const online = (epoch: number): ClientPresence => ({ epoch, state: 'online' });
const offline = (epoch: number): ClientPresence => ({ epoch, state: 'offline' });

describe('the presence of a client', () => {
  it.each<[string, ClientPresence | undefined, ClientPresence, boolean]>([
    ['comes for the first time', undefined, online(1), true],
    ['is first heard of as it goes', undefined, offline(1), true],
    ['goes', online(1), offline(1), true],
    ['comes again', offline(1), online(2), true],
    ['comes again, though nobody saw it go', online(1), online(2), true],
    ['went on a later connection than the one known', online(1), offline(2), true],
    ['goes late: it is back already', online(2), offline(1), false],
    ['goes late: it went since', offline(2), offline(1), false],
    ['comes late', online(2), online(1), false],
    ['comes late: it went since', offline(2), online(1), false],
    ['went, and is said to have come on that same connection', offline(1), online(1), false],
    ['went, and is said to have gone otherwise', offline(1), offline(1), false],
    ['is said twice to have come', online(1), online(1), false],
  ])('%s', (_, current, event, changes) => {
    expect(isInTurn(current, event)).toBe(changes);
  });
});
