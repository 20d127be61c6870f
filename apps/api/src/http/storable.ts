/** PostgreSQL's texts cannot hold U+0000, and half of a surrogate pair is no character. */
function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

interface Place {
  readonly value: unknown;
  readonly name: string;
  readonly within: Place | undefined;
}

/** Where there is a text, or a name of a member, that cannot be stored. Undefined: nowhere. */
export function findUnstorable(root: unknown): string[] | undefined {
  const places: Place[] = [{ value: root, name: '', within: undefined }];
  // A loop, and not a function that calls itself: a body of the size we take can be nested deeper than the stack.
  for (let place = places.pop(); place !== undefined; place = places.pop()) {
    const { value, name } = place;
    if (!isStorable(name) || (typeof value === 'string' && !isStorable(value))) return pathOf(place);
    if (typeof value !== 'object' || value === null) continue;
    for (const [member, inner] of Object.entries(value))
      places.push({ value: inner, name: member, within: place });
  }
  return undefined;
}

function pathOf(place: Place): string[] {
  const path: string[] = [];
  for (let at = place; at.within !== undefined; at = at.within) path.push(at.name.toWellFormed());
  return path.toReversed();
}
