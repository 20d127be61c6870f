/** As it is stored: without members that are undefined, which JSON has not. */
export function plainRules(
  rules: readonly { readonly filter: string; readonly timeField?: string | undefined }[],
): Record<string, string>[] {
  return rules.map(({ filter, timeField }) => (timeField === undefined ? { filter } : { filter, timeField }));
}
