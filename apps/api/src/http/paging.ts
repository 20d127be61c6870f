import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Failure } from '../failure.js';
import { SECRET_KEY } from '../injection-tokens.js';

export const maxPageSize = 200;

/** Members every list's query has; spread into the resource's own strict object. */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(maxPageSize).default(50).describe('At most 200'),
  after: z.string().max(2_000).optional().describe('`next` of the page before'),
} as const;

/** What a service's list takes: as REST and GraphQL both ask it. */
export interface PageRequest {
  readonly limit: number;
  readonly after?: string | undefined;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** One for each item: where a page that starts after it begins. */
  readonly cursors: readonly string[];
  readonly hasMore: boolean;
}

/** The keys a list is ordered by, of one row, as text. */
export type Position = readonly string[];

/**
 * Cursors a client cannot make or change: the row's sort keys and a MAC over them and over what is listed (`listing`: the
 * tenant, the resource, and whatever decides the order), so that a cursor works for that listing only.
 */
@Injectable()
export class Cursors {
  readonly #key: Buffer;

  constructor(@Inject(SECRET_KEY) secretKey: Buffer) {
    this.#key = Buffer.from(hkdfSync('sha256', secretKey, '', 'moorage cursors', 32));
  }

  /**
   * A page of a listing. `rows` reads, in the listing's order, what comes after a position (an empty one: from the start);
   * it is asked for one row too many, which says that there is more.
   */
  async read<T>(
    listing: string,
    { limit, after }: PageRequest,
    rows: (after: Position, limit: number) => Promise<readonly T[]>,
    positionOf: (row: T) => Position,
  ): Promise<Page<T>> {
    const found = await rows(after === undefined ? [] : this.open(listing, after), limit + 1);
    const items = found.slice(0, limit);
    return {
      items,
      cursors: items.map((row) => this.seal(listing, positionOf(row))),
      hasMore: found.length > limit,
    };
  }

  private seal(listing: string, position: Position): string {
    const body = Buffer.from(JSON.stringify(position));
    return Buffer.concat([this.mac(listing, body), body]).toString('base64url');
  }

  /** A Failure for a cursor that is not ours or belongs to another listing. */
  private open(listing: string, cursor: string): Position {
    const bytes = Buffer.from(cursor, 'base64url');
    const body = bytes.subarray(macBytes);
    const expected = this.mac(listing, body);
    const given = bytes.subarray(0, macBytes);
    if (given.length !== macBytes || !timingSafeEqual(given, expected)) throw badCursor();
    return JSON.parse(body.toString()) as Position;
  }

  private mac(listing: string, body: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(`${listing}\0`).update(body).digest().subarray(0, macBytes);
  }
}

const macBytes = 16;

function badCursor(): Failure {
  return new Failure('invalid-parameter', 'This cursor does not belong to this list.', [
    {
      in: 'query',
      pointer: '#/after',
      code: 'bad-cursor',
      message: 'Use `next` of the page before, unchanged.',
    },
  ]);
}

/** The REST form of a page: its items, and the next page's cursor in the body and as a link (RFC 8288). */
export function sendPage<T, R>(
  page: Page<T>,
  present: (item: T) => R,
  request: FastifyRequest,
  reply: FastifyReply,
): { items: R[]; next: string | null } {
  const next = page.hasMore ? (page.cursors.at(-1) ?? null) : null;
  if (next !== null) {
    const url = new URL(request.url, 'http://localhost');
    url.searchParams.set('after', next);
    void reply.header('Link', `<${url.pathname}${url.search}>; rel="next"`);
  }
  return { items: page.items.map(present), next };
}

export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({
    items: z.array(item),
    next: z.string().nullable().describe('Cursor of the next page; null on the last'),
  });
}
