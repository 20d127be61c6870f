import { type DocumentNode, Kind, visit } from 'graphql';
import { Failure } from '../failure.js';
import { findUnstorable } from '../http/storable.js';

/** What no text here can hold, as in a URL or a body of REST: refused once for all arguments. */
export function refuseUnstorable(document: DocumentNode, variables: Readonly<Record<string, unknown>>): void {
  const written: string[] = [];
  visit(document, { [Kind.STRING]: ({ value }) => void written.push(value) });
  if (findUnstorable(written) === undefined && findUnstorable(variables) === undefined) return;
  throw new Failure('invalid', 'An argument holds U+0000 or half of a surrogate pair.');
}
