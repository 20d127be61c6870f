import { type DocumentNode, Kind, visit } from 'graphql';
import { Failure } from '../failure.js';

/** U+0000 names nothing here, and PostgreSQL's texts cannot hold it: refused once for all arguments, as in a URL. */
export function refuseNul(document: DocumentNode, variables: Readonly<Record<string, unknown>>): void {
  const texts: unknown[] = [variables];
  visit(document, { [Kind.STRING]: ({ value }) => void texts.push(value) });
  // A loop, and not a function that calls itself: a body of the size we take can be nested deeper than the stack.
  while (texts.length > 0) {
    const value = texts.pop();
    if (typeof value === 'string' && value.includes('\u0000')) {
      throw new Failure('invalid', 'An argument holds U+0000.');
    }
    if (typeof value !== 'object' || value === null) continue;
    for (const [name, member] of Object.entries(value)) texts.push(name, member);
  }
}
