import { z } from 'zod';
import { notFound } from '../failure.js';

const id = z.uuid();

/** What cannot be an id names nothing, as in a path of REST. */
export function idOf(argument: string): string {
  if (!id.safeParse(argument).success) throw notFound();
  return argument;
}

export function operationId(operation: bigint | undefined): string | null {
  return operation === undefined ? null : String(operation);
}
