import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Of the product, as package.json has it, which stands above the sources and above what they are built to. */
export function productVersion(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file)) return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
    if (folder === dirname(folder)) throw new Error('package.json is not where it was installed');
  }
}
