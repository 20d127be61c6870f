// What the documents tell a reader to type, typed as it stands into a shell, in a folder whose name has a space; and what they show for it.
import { spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Json } from './support/api.js';
import { isInstalled, tellSkipped } from './support/installed.js';
import { eventually, startProduct, type Product } from './support/product.js';

/** A block of commands, and the block after it where that shows what they print. */
interface Example {
  readonly commands: string;
  readonly shown: string | undefined;
}

const root = join(import.meta.dirname, '..');
const missing = ['mosquitto_pub', 'openssl', 'jq'].filter((program) => !isInstalled(program));
if (missing.length > 0) tellSkipped(`what is typed with ${missing.join(', ')}: not installed`);
const itWithMosquitto = missing.includes('mosquitto_pub') ? it.skip : it;
const itWithTools = missing.length > 0 ? it.skip : it;

function examplesOf(page: string): Example[] {
  const blocks = Array.from(
    readFileSync(join(root, page), 'utf8').matchAll(/^```(\w*)\n(.*?)^```$/gms),
    ([, language, text = '']) => ({ language, text }),
  );
  return blocks.flatMap(({ language, text }, at) => {
    const next = blocks[at + 1];
    const shown = next?.language === 'json' || next?.language === '' ? next.text : undefined;
    return language === 'sh' ? [{ commands: text, shown }] : [];
  });
}

/** The JSON among the lines, with the kinds of values in place of the values. */
function shapesOf(lines: string): unknown[] {
  return lines
    .split('\n')
    .filter((line) => /^\{./.test(line))
    .map((line) => shapeOf(JSON.parse(line)));
}

function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf);
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shapeOf(member)]));
}

describe('the examples of the documents', () => {
  let place: string;
  let folder: string;
  let product: Product;

  beforeAll(async () => {
    place = mkdtempSync(join(tmpdir(), 'moorage-examples-'));
    folder = join(place, 'a reader’s folder');
    mkdirSync(folder);
    for (const name of ['node_modules', 'package.json', 'dist'])
      symlinkSync(join(root, name), join(folder, name));
    product = startProduct(join(folder, '.moorage'));
    await product.ready;
  });
  afterAll(async () => {
    await product.stop();
    await rm(place, { recursive: true, force: true });
  });

  /** Types them into one shell. Resolves to what each has printed, once that is as many lines of JSON as it is shown with. */
  async function typed(examples: readonly Example[]): Promise<string[]> {
    const steps = examples.map(({ commands }) => `${commands}\necho '==='\n`);
    const printed = join(place, 'printed');
    const file = openSync(printed, 'w');
    // A reader's machine is not busy with other tests: here everything has four times as long.
    const slower = 'sleep() { command sleep $((4 * $1)); }\n';
    // The shell stays until all is printed, also by what it has put in the background.
    const shell = spawn('bash', ['-c', [slower, ...steps, 'command sleep 600'].join('')], {
      cwd: folder,
      // A group of its own, so that everything is ended with it.
      detached: true,
      stdio: ['ignore', file, file],
      env: {
        HOME: place,
        PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter),
      },
    });
    closeSync(file);
    // What is printed in the background comes when it comes: the last one has all that is left.
    const last = examples.length - 1;
    const texts = () => readFileSync(printed, 'utf8').split(/^===\n/m);
    const byExample = async () => [...texts().slice(0, last), texts().slice(last).join('')];
    const isComplete = (all: readonly string[]) =>
      examples.every(({ shown = '' }, at) => shapesOf(all[at] ?? '').length >= shapesOf(shown).length);
    try {
      while (texts().length <= examples.length) await sleep(100);
      return await eventually(byExample, isComplete);
    } finally {
      if (shell.pid !== undefined) process.kill(-shell.pid, 'SIGKILL');
    }
  }

  const shownBy = (examples: readonly Example[]) =>
    examples.map(({ commands, shown }) => [commands, shown === undefined ? '' : shapesOf(shown)]);
  const printedBy = async (examples: readonly Example[]) => {
    const texts = await typed(examples);
    return examples.map(({ commands, shown }, at) => {
      const text = texts[at] ?? '';
      return [commands, shown === undefined ? text : shapesOf(text)];
    });
  };

  itWithMosquitto('of the README print what it shows', async () => {
    const all = examplesOf('README.md');
    const tour = all.filter(({ commands }) => !/npm (ci|run)/.test(commands));
    expect([all.length, tour.length]).toEqual([10, 8]); // what remains is the start, and a fleet of a minute
    expect(await printedBy(tour)).toEqual(shownBy(tour));
  });

  it('of GraphQL print what it shows', async () => {
    const page = 'docs/api/graphql.md';
    const program = /^```js\n(.*?)^```$/ms.exec(readFileSync(join(root, page), 'utf8'))?.[1] ?? '';
    writeFileSync(join(folder, 'readings.mjs'), program);
    const examples = examplesOf(page);
    expect(await printedBy(examples)).toEqual(shownBy(examples));
  });

  it('of policies print what they show', async () => {
    const examples = examplesOf('docs/policies.md');
    expect(await printedBy(examples)).toEqual(shownBy(examples));
  });

  it('that the page at /docs begins with are taken as they stand', async () => {
    const { api, adminKey } = await product.ready;
    const { components }: Json = await (await fetch(`${api}/openapi.json`)).json();
    const create = async (path: string, schema: string) => {
      const answer = await fetch(api + path, {
        method: 'POST',
        headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
        body: JSON.stringify(components.schemas[schema].example),
      });
      const made: Json = await answer.json();
      expect([path, answer.status, made]).toEqual([path, 201, made]);
      return made;
    };
    const { slug } = await create('/v1/tenants', 'NewTenant');
    const tenant = `/v1/tenants/${slug}`;
    await create(`${tenant}/profiles`, 'NewProfile');
    const { id: device } = await create(`${tenant}/devices`, 'NewDevice');
    await create(`${tenant}/devices/${device}/credentials`, 'NewCredential');
    const { id: policy } = await create(`${tenant}/policies`, 'NewPolicy');
    await create(`${tenant}/policies/${policy}/versions`, 'NewPolicyVersion');
  });

  itWithTools('of provisioning let each device in', async () => {
    const [start, ...steps] = examplesOf('docs/provisioning.md');
    const count = {
      shown: '{"count":1}\n'.repeat(3),
      commands: `for name in boiler-7 boiler-8 boiler-9; do
        id=$(api "$API/v1/tenants/$TENANT/devices?name=$name" | jq -r '.items[0].id')
        api $API/v1/tenants/$TENANT/devices/$id/telemetry/count
      done
`,
    };
    expect(steps.length).toBeGreaterThan(9);
    const printed = await typed([...(start === undefined ? [] : [start]), ...steps, count]);
    expect(printed.join('')).not.toMatch(/urn:moorage:problem|^Error|refused/m);
    expect(printed.at(-1)?.startsWith(count.shown)).toBe(true);
  });
});
