import { describe, expect, it } from '@jest/globals';
import {
  isShared,
  isTopicFilter,
  isTopicName,
  isWithinLimits,
  levelsOf,
  matches,
  parseShared,
} from './topic.js';

describe('a topic name', () => {
  it.each(['a', '/', 'a/b', '/a/', '//', ' ', '$SYS/x', 'ü/日本'])('may be %j', (topic) => {
    expect(isTopicName(topic)).toBe(true);
  });

  it.each(['', '#', '+', 'a/#', 'a/+/b', 'a+b', 'a#'])('may not be %j', (topic) => {
    expect(isTopicName(topic)).toBe(false);
  });
});

describe('a topic filter', () => {
  it.each(['a', '/', '#', '+', 'a/#', '+/a', '/+', '+/+', '+/#', 'a/+/b', '/#', '$SYS/#', 'a b'])(
    'may be %j',
    (filter) => {
      expect(isTopicFilter(filter)).toBe(true);
    },
  );

  it.each(['', 'a#', 'a/#/b', '#/', '##', 'a+', '+a', 'a+/b', 'a/+b', '+#', '#+', 'a/b#', '/+a/'])(
    'may not be %j',
    (filter) => {
      expect(isTopicFilter(filter)).toBe(false);
    },
  );
});

describe('a shared subscription', () => {
  it.each([
    ['$share/g/a', 'g', 'a'],
    ['$share/g/#', 'g', '#'],
    ['$share/g//a', 'g', '/a'],
    ['$share/g//', 'g', '/'],
    ['$share/a b/x/+', 'a b', 'x/+'],
    ['$share/$g/$SYS/x', '$g', '$SYS/x'],
  ])('%j is read', (text, group, filter) => {
    expect(parseShared(text)).toEqual({ group, filter });
  });

  it.each([
    '$share/',
    '$share/g',
    '$share/g/',
    '$share//a',
    '$share/+/a',
    '$share/g#/a',
    '$share/g+x/a',
    '$share/g/a#',
    '$share/g/#/a',
  ])('%j is not a valid one', (text) => {
    expect(isShared(text)).toBe(true);
    expect(parseShared(text)).toBeUndefined();
  });

  it.each(['$share', '$shared/g/a', 'a/$share/g', '/$share/g/a'])('%j is not shared', (text) => {
    expect(isShared(text)).toBe(false);
    expect(parseShared(text)).toBeUndefined();
  });
});

describe('limits of a topic', () => {
  it('count bytes, not characters, and levels, empty ones too', () => {
    expect(isWithinLimits('abc', 3, 1)).toBe(true);
    expect(isWithinLimits('abcd', 3, 1)).toBe(false);
    expect(isWithinLimits('日', 3, 1)).toBe(true);
    expect(isWithinLimits('日', 2, 1)).toBe(false);
    expect(isWithinLimits('//', 10, 3)).toBe(true);
    expect(isWithinLimits('//', 10, 2)).toBe(false);
    expect(levelsOf('a/b/')).toBe(3);
    expect(levelsOf('a')).toBe(1);
  });
});

describe('matching', () => {
  it.each([
    ['a', 'a'],
    ['a/#', 'a'],
    ['a/#', 'a/'],
    ['a/#', 'a/b/c'],
    ['#', 'a'],
    ['#', '/'],
    ['+', 'a'],
    ['+/+', '/finance'],
    ['/+', '/finance'],
    ['+/b', '/b'],
    ['a/+', 'a/'],
    ['a/+/c', 'a/b/c'],
    ['a/+/#', 'a/b'],
    ['$SYS/#', '$SYS'],
    ['$SYS/+', '$SYS/x'],
    ['a/#', 'a/$x'],
    ['a/+', 'a/$x'],
  ])('%j takes %j', (filter, topic) => {
    expect(matches(filter, topic)).toBe(true);
  });

  it.each([
    ['a', 'A'],
    ['a', 'a/'],
    ['a', '/a'],
    ['a/', 'a'],
    ['a/b', 'a'],
    ['+', '/finance'],
    ['+', ''.concat('a/b')],
    ['a/+', 'a'],
    ['a/+', 'a/b/c'],
    ['a/+/#', 'a'],
    ['#', '$SYS/x'],
    ['+/x', '$SYS/x'],
    ['+', '$SYS'],
    ['+/#', '$SYS'],
  ])('%j leaves %j', (filter, topic) => {
    expect(matches(filter, topic)).toBe(false);
  });
});
