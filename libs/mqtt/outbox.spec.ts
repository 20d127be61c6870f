import { describe, expect, it } from '@jest/globals';

import { maxCopiedBytes, Outbox } from './outbox.js';
import { TestLink } from './testing/index.js';
import { Turns } from './turns.js';

/** Outboxes of one process, each with its link; `flush` ends the turn. */
function outboxes(count: number): { boxes: Outbox[]; links: TestLink[]; flush: () => void } {
  let end: () => void = () => undefined;
  const turns = new Turns((callback) => (end = callback));
  const links = Array.from({ length: count }, () => new TestLink());
  const boxes = links.map((link) => new Outbox(link, turns, 1_000_000, () => undefined));
  return { boxes, links, flush: () => end() };
}

const letters = (letter: string, length: number): Buffer => Buffer.alloc(length, letter);

describe('an outbox', () => {
  it('gives its link all of a turn in one piece, however much it is', () => {
    const { boxes, links, flush } = outboxes(1);
    const [box, link] = [boxes[0]!, links[0]!];
    const pieces: number[] = [];
    const write = link.write.bind(link);
    link.write = (chunks) => {
      pieces.push(chunks.length);
      return write(chunks);
    };
    let sent = '';
    for (const count of [1, 10, 100, 3]) {
      for (let index = 0; index < count; index += 1) box.write(letters(String(index % 10), 100));
      for (let index = 0; index < count; index += 1) sent += String(index % 10).repeat(100);
      flush();
    }
    expect(link.received.toString()).toBe(sent);
    expect(pieces).toEqual([1, 1, 1, 1]);
  });

  it('keeps the order between what is copied and what is passed on, over several slabs', () => {
    const { boxes, links, flush } = outboxes(1);
    const [box, link] = [boxes[0]!, links[0]!];
    let sent = '';
    for (let turn = 0; turn < 3; turn += 1) {
      for (let index = 0; index < 200; index += 1) {
        const length = index % 7 === 0 ? maxCopiedBytes + 1 : 50 * (index % 40);
        const letter = String.fromCharCode(65 + (index % 26));
        box.write(letters(letter, length));
        sent += letter.repeat(length);
      }
      flush();
    }
    expect(link.received.toString()).toBe(sent);
  });

  it('lays nothing into what a link still holds', () => {
    const { boxes, links, flush } = outboxes(3);
    const [slow, quick, last] = boxes as [Outbox, Outbox, Outbox];
    links[0]!.stall();
    slow.write(letters('a', 400));
    flush();
    for (const box of [quick, last, slow, quick, last]) {
      box.write(letters('b', 400));
      flush();
    }
    links[0]!.read();
    expect(links[0]!.received.toString()).toBe('a'.repeat(400) + 'b'.repeat(400));
    expect(links[1]!.received.toString()).toBe('b'.repeat(800));
  });
});
