import { z } from 'zod';
import { Failure } from '../failure.js';
import { maxPageSize, type Page, type PageRequest } from '../http/paging.js';
import { fieldErrors, parsing } from '../http/schema.pipe.js';

export interface Connection<N> {
  readonly edges: readonly { readonly cursor: string; readonly node: N }[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

/** The schema of a connection: `name` with Edge and with Connection, over nodes of the type `node`. */
export function connectionTypes(name: string, node = name): string {
  return `
  type ${name}Edge {
    cursor: String!
    node: ${node}!
  }

  type ${name}Connection {
    edges: [${name}Edge!]!
    pageInfo: PageInfo!
  }`;
}

/** Relay's form of a page; the cursors are those of REST. */
export function connectionOf<T, N>(page: Page<T>, present: (item: T) => N): Connection<N> {
  return {
    edges: page.items.map((item, index) => ({ cursor: page.cursors[index] ?? '', node: present(item) })),
    pageInfo: { hasNextPage: page.hasMore, endCursor: page.cursors.at(-1) ?? null },
  };
}

const pageArguments = z.object({
  first: z.int().min(1).max(maxPageSize).default(50),
  after: z.string().max(2_000).nullish(),
});

export interface PageArguments {
  readonly first?: number | null;
  readonly after?: string | null;
}

export interface DeleteArguments {
  readonly id: string;
  readonly expectedVersion: number;
}

export interface UpdateArguments extends DeleteArguments {
  readonly patch: object;
}

export function pageRequest(args: PageArguments): PageRequest {
  const { first, after } = checkArguments(pageArguments, args);
  return { limit: first, after: after ?? undefined };
}

/** The rules of REST for the same input: GraphQL's own types say less. Null says as much as nothing. */
export function checkArguments<T extends z.ZodType>(schema: T, args: object): z.output<T> {
  return checkPatch(schema, withoutNulls(args));
}

export function withoutNulls(args: object): object {
  return Object.fromEntries(Object.entries(args).filter(([, value]) => value !== null));
}

/** Where null has a meaning of its own: it removes. */
export function checkPatch<T extends z.ZodType>(schema: T, patch: object): z.output<T> {
  const parsed = schema.safeParse({ ...patch }, parsing);
  if (parsed.success) return parsed.data;
  throw new Failure('invalid', 'An argument cannot be used.', fieldErrors(parsed.error, 'body'));
}
