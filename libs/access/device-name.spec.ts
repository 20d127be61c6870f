import { describe, expect, it } from '@jest/globals';

import { deviceNameOf, namePatternSchema, nameTemplateSchema } from './device-name.js';

const nameOf = (template: string, pattern: string, name?: string) =>
  deviceNameOf({ template, pattern }, name, 'r4nd0m');

describe('the name of a device that makes itself known', () => {
  it.each([
    ['${name}', '*', 'a', 'a'],
    ['site-${name}', 'meter-*', 'meter-7', 'site-meter-7'],
    ['${name}-${random}', '*', 'a', 'a-r4nd0m'],
    ['m-${random}', 'never asked', undefined, 'm-r4nd0m'],
    ['${name}', 'a*b*c', 'aXbYc', 'aXbYc'],
    ['${name}', 'a*b*c', 'abc', 'abc'],
    ['${name}', 'exact', 'exact', 'exact'],
  ])('%s of %s and %s is %s', (template, pattern, name, expected) => {
    expect(nameOf(template, pattern, name)).toBe(expected);
  });

  it.each([
    ['${name}', '*', undefined],
    ['${name}', 'meter-*', 'xmeter-7'],
    ['${name}', 'a*b*c', 'acb'],
    ['${name}', 'ab*ba', 'aba'], // the end is not the beginning read twice
    ['${name}', 'exact', 'exactly'],
    ['${name}', '*', 'a/b'],
    ['${name}', '*', 'a+'],
    ['${name}', '*', 'a\0'],
    ['${name}', '*', 'a\n'],
    ['${name}', '*', ''],
    ['${name}', '*', 'a\ufffe'],
    ['${name}', '*', 'x'.repeat(201)],
    ['${name}', '*', 'ä'.repeat(129)],
  ])('there is none of %s, %s and %j', (template, pattern, name) => {
    expect(nameOf(template, pattern, name)).toBeUndefined();
  });

  it('is decided in no time for any pattern', () => {
    const pattern = `${'a*'.repeat(99)}b`;
    expect(nameOf('${name}', pattern, 'a'.repeat(200))).toBeUndefined();
  });

  it('comes from a template with variables that are known, each once, and nothing that MQTT reads as syntax', () => {
    for (const good of ['${name}', 'x-${random}', '${random}-${name}'])
      expect([good, nameTemplateSchema.safeParse(good).success]).toEqual([good, true]);
    for (const bad of [
      '',
      'fixed',
      '${other}',
      '${name}${name}',
      '${name',
      '${name}/x',
      '+${name}',
      '${name}\n',
    ])
      expect([bad, nameTemplateSchema.safeParse(bad).success]).toEqual([bad, false]);
    for (const bad of ['', 'a/b', '#', 'a\0']) expect(namePatternSchema.safeParse(bad).success).toBe(false);
  });
});
