import { execFileSync } from 'node:child_process';
import { describe, expect, it } from '@jest/globals';
import { shellWord } from './shell-word.js';

describe('a word of a shell', () => {
  it.each(['', '.moorage', '/srv/my data', "o'clock", '$HOME `id` "x" \\ ; & * ~', '~/x', '-n'])(
    'is %j again when a shell has read it',
    (text) => {
      const read = execFileSync('sh', ['-c', `printf %s_ ${shellWord(text)}x`], { encoding: 'utf8' });
      expect(read).toBe(`${text}x_`);
    },
  );

  it('is left alone where it needs no quotes', () => {
    expect(shellWord('.moorage/demo.env')).toBe('.moorage/demo.env');
  });
});
