/** How devices that make themselves known are called: by a template, of names that a pattern allows. */
import { z } from 'zod';

import { isTopicWord } from './variables.js';

const variable = /\$\{(name|random)\}/g;

/** `${name}` is what the device calls itself, `${random}` twelve random letters and digits: `meter-${random}`. */
export const nameTemplateSchema = z
  .string()
  .min(1)
  .max(100)
  .refine((text) => {
    const found = [...text.matchAll(variable)].map(([, name]) => name);
    const rest = text.replaceAll(variable, '');
    return found.length > 0 && new Set(found).size === found.length && !rest.includes('${') && isFree(rest);
  }, 'One of ${name} and ${random}, or both, each once; no + # / beside them.');

/** Which names may register: `*` stands for any text, everything else for itself. */
export const namePatternSchema = z
  .string()
  .min(1)
  .max(200)
  .refine(isFree, 'No + # / and no control characters.');

function isFree(text: string): boolean {
  return text === '' || isTopicWord(text);
}

/** A device connects under its name, unless its credential says otherwise: so long is a client identifier by default. */
export const maxDeviceNameBytes = 256;
const maxDeviceNameLength = 200;

export function isDeviceName(name: string): boolean {
  if (name.length > maxDeviceNameLength || Buffer.byteLength(name) > maxDeviceNameBytes) return false;
  return isTopicWord(name);
}

/** Undefined: the device may not be called so. `name` undefined: it has not said how it is called. */
export function deviceNameOf(
  { template, pattern }: { readonly template: string; readonly pattern: string },
  name: string | undefined,
  random: string,
): string | undefined {
  if (template.includes('${name}')) {
    if (name === undefined || !fits(name, pattern)) return undefined;
  }
  const made = template.replaceAll(variable, (_, which: string) =>
    which === 'name' ? (name ?? '') : random,
  );
  return isDeviceName(made) ? made : undefined;
}

/** From left to right, each part at its first place, the last at the end: linear for any pattern. */
function fits(name: string, pattern: string): boolean {
  const [first = '', ...others] = pattern.split('*');
  if (others.length === 0) return name === pattern;
  if (!name.startsWith(first)) return false;
  const last = others.pop() ?? '';
  let at = first.length;
  for (const part of others) {
    const found = name.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
