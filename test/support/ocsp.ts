/** The responder of openssl, over a list of certificates that the test writes. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { Pair } from './pki.js';

export interface TestResponder {
  /** Every other certificate is unknown to it. */
  knows(serials: { readonly good?: readonly string[]; readonly revoked?: readonly string[] }): Promise<void>;
  /** One answer, without a network. `minutes`: until its next one; undefined: it does not say. */
  answer(question: Buffer, minutes?: number): Promise<Buffer>;
  /** Over HTTP, at this address, until it is stopped. */
  listen(minutes?: number): Promise<{ readonly url: string; stop(): Promise<void> }>;
  remove(): Promise<void>;
}

/** Answers in the name of `authority`, signed by `signer`: the authority itself, or whom it has made a responder. */
export async function createResponder(authority: Pair, signer: Pair = authority): Promise<TestResponder> {
  const dir = await mkdtemp(join(tmpdir(), 'moorage-ocsp-'));
  await writeFile(join(dir, 'ca.crt'), authority.pem);
  await writeFile(join(dir, 'signer.crt'), signer.pem);
  await writeFile(join(dir, 'signer.key'), signer.keyPem);
  const signing = 'ocsp -index index.txt -CA ca.crt -rsigner signer.crt -rkey signer.key'.split(' ');
  const options = (minutes: number | undefined): string[] =>
    minutes === undefined ? signing : [...signing, '-nmin', String(minutes)];
  const run = (args: readonly string[]) => promisify(execFile)('openssl', [...args], { cwd: dir });
  let url: string | undefined;
  return {
    async knows({ good = [], revoked = [] }) {
      const line = (state: string, when: string, serial: string): string => {
        const even = serial.length % 2 === 0 ? serial : `0${serial}`;
        return `${state}\t391231235959Z\t${when}\t${even.toUpperCase()}\tunknown\t/CN=${even}\n`;
      };
      const lines = [
        ...good.map((serial) => line('V', '', serial)),
        ...revoked.map((serial) => line('R', '260101000000Z', serial)),
      ];
      // In its place: openssl looks whether it is another file, or of another second, before it waits for the next question.
      await writeFile(join(dir, 'next.txt'), lines.join(''));
      await rename(join(dir, 'next.txt'), join(dir, 'index.txt'));
      const nothing = ['ocsp', '-issuer', 'ca.crt', '-serial', '1', '-noverify'];
      if (url !== undefined) await run([...nothing, '-url', url]);
    },
    async answer(question, minutes) {
      await writeFile(join(dir, 'question.der'), question);
      const files = ['-reqin', 'question.der', '-respout', 'answer.der'];
      await run([...options(minutes), ...files]);
      return readFile(join(dir, 'answer.der'));
    },
    async listen(minutes) {
      const child = spawn('openssl', [...options(minutes), '-port', '0'], { cwd: dir });
      const ended = once(child, 'close');
      let said = '';
      child.stderr.resume();
      for await (const chunk of child.stdout) {
        said += String(chunk);
        const port = /ACCEPT .*:(\d+)/.exec(said)?.[1];
        if (port === undefined) continue;
        url = `http://127.0.0.1:${port}`;
        return {
          url,
          stop: async () => {
            url = undefined;
            child.kill('SIGKILL');
            await ended;
          },
        };
      }
      throw new Error(`the responder ended: ${said}`);
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}
