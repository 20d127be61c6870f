type Json = Readonly<Record<string, unknown>>;

/** One level of JSON Merge Patch (RFC 7396): null removes a member, anything else replaces it. */
export function mergeMembers<T>(target: Json, patch: Json | undefined): Record<string, T> {
  const merged = { ...target, ...patch };
  return Object.fromEntries(
    Object.entries(merged).filter(([, value]) => value !== null && value !== undefined),
  ) as Record<string, T>;
}
