import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';

import { describe, expect, it } from '@jest/globals';

import {
  deriveVerifier,
  deriveVerifiers,
  isScramMethod,
  nobodysVerifier,
  type ScramMethod,
  scramMethods,
  ScramServer,
  scramVerifiersSchema,
} from './scram.js';

const key = Buffer.alloc(32, 7);

function begin(method: ScramMethod, first: string): ScramServer {
  const server = ScramServer.begin(method, Buffer.from(first));
  if ('fault' in server) throw new Error(server.fault);
  return server;
}

/** A client's side, written from RFC 5802 alone. */
function clientFinal(method: ScramMethod, password: string, bare: string, serverFirst: string): string {
  const hash = method === 'SCRAM-SHA-256' ? 'sha256' : 'sha512';
  const fields = new Map(serverFirst.split(',').map((part) => [part[0], part.slice(2)]));
  const salt = Buffer.from(fields.get('s')!, 'base64');
  const salted = pbkdf2Sync(password, salt, Number(fields.get('i')), hash === 'sha256' ? 32 : 64, hash);
  const clientKey = createHmac(hash, salted).update('Client Key').digest();
  const storedKey = createHash(hash).update(clientKey).digest();
  const withoutProof = `c=biws,r=${fields.get('r')}`;
  const signature = createHmac(hash, storedKey).update(`${bare},${serverFirst},${withoutProof}`).digest();
  const proof = Buffer.from(clientKey.map((byte, i) => byte ^ signature[i]!)).toString('base64');
  return `${withoutProof},p=${proof}`;
}

describe('SCRAM', () => {
  it('answers the example of RFC 7677, section 3, to the letter', async () => {
    const verifier = await deriveVerifier(
      'SCRAM-SHA-256',
      'pencil',
      Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'),
    );
    const server = begin('SCRAM-SHA-256', 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO');
    expect(server.username).toBe('user');
    expect(server.challenge(verifier, '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0').toString()).toBe(
      'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    );
    const final = server.finish(
      Buffer.from(
        'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
      ),
    );
    expect(final).toEqual(Buffer.from('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='));
  });

  it.each(scramMethods)('%s lets in who knows the password, and no one else', async (method) => {
    const verifiers = scramVerifiersSchema.parse(await deriveVerifiers('secret'));
    for (const [password, knows] of [
      ['secret', true],
      ['Secret', false],
    ] as const) {
      const bare = 'n=pump=2C1@acme=3D,r=abc';
      const server = begin(method, `n,,${bare}`);
      expect(server.username).toBe('pump,1@acme=');
      const challenge = server.challenge(verifiers[method]!).toString();
      const answer = server.finish(Buffer.from(clientFinal(method, password, bare, challenge)));
      expect('fault' in answer ? answer.fault : answer.toString()).toMatch(
        knows ? /^v=/ : /^wrong password$/,
      );
    }
  });

  it('keeps neither the password nor what would let a reader of the table sign in', async () => {
    const { salt, storedKey, serverKey } = await deriveVerifier(
      'SCRAM-SHA-512',
      'secret',
      Buffer.alloc(16, 1),
    );
    const salted = pbkdf2Sync('secret', Buffer.from(salt, 'base64'), 4096, 64, 'sha512');
    const clientKey = createHmac('sha512', salted).update('Client Key').digest('base64');
    expect([storedKey, serverKey]).not.toContain(clientKey);
  });

  it('shows an unknown user the same salt at every attempt, and lets nobody in as one', () => {
    const [once, again, other] = ['a@t', 'a@t', 'b@t'].map((name) =>
      nobodysVerifier('SCRAM-SHA-256', key, name),
    );
    expect(again).toEqual(once);
    expect(other!.salt).not.toBe(once!.salt);
    expect(Buffer.from(once!.salt, 'base64')).toHaveLength(16);
    const server = begin('SCRAM-SHA-256', 'n,,n=a@t,r=abc');
    const challenge = server.challenge(once!).toString();
    const answer = server.finish(Buffer.from(clientFinal('SCRAM-SHA-256', '', 'n=a@t,r=abc', challenge)));
    expect(answer).toEqual({ fault: 'wrong password' });
  });

  it.each([
    ['', 'the first message is no SCRAM message'],
    ['n,,n=ü,r=abc', 'the first message is no SCRAM message'],
    [`n,,n=${'a'.repeat(1024)},r=abc`, 'the first message is no SCRAM message'],
    ['x,,n=a,r=abc', 'the first message has no channel binding flag'],
    ['n=a,r=abc', 'the first message has no channel binding flag'],
    ['p=tls-unique,,n=a,r=abc', 'channel binding is not offered'],
    ['n,a=b,n=a,r=abc', 'an authorization identity is not offered'],
    ['n,,m=x,n=a,r=abc', 'a mandatory extension that is not offered'],
    ['n,,n=a', 'the first message has no username or nonce'],
    ['n,,n=a,r=', 'the first message has no username or nonce'],
    ['n,,n=,r=abc', 'the username is escaped wrongly'],
    ['n,,n=a=2c,r=abc', 'the username is escaped wrongly'],
  ])('refuses %j: %s', (first, fault) => {
    expect(ScramServer.begin('SCRAM-SHA-256', Buffer.from(first))).toEqual({ fault });
  });

  it('refuses a first message that is not there', () => {
    expect(ScramServer.begin('SCRAM-SHA-256', undefined)).toHaveProperty('fault');
  });

  it.each([
    ['c=biws,r=abcdef', 'the last message is no SCRAM message'],
    ['c=eSws,r=abcdef,p=AAAA', 'another channel binding than at first'],
    ['c=biws,r=abcdeX,p=AAAA', 'not the nonce of this exchange'],
    ['c=biws,r=abc,p=AAAA', 'not the nonce of this exchange'],
    ['c=biws,r=abcdef,p=AAAA', 'a proof of another length than the hash'],
    [`c=biws,r=abcdef,p=${Buffer.alloc(32).toString('base64')}`, 'wrong password'],
  ])('refuses the last message %j: %s', (final, fault) => {
    const server = begin('SCRAM-SHA-256', 'n,,n=a,r=abc');
    server.challenge(nobodysVerifier('SCRAM-SHA-256', key, 'a'), 'def');
    expect(server.finish(Buffer.from(final))).toEqual({ fault });
    expect(server.finish(Buffer.from(final))).toEqual({ fault: 'a last message without a challenge' });
  });

  it('takes a client that could bind the channel and was not offered it', () => {
    expect(begin('SCRAM-SHA-256', 'y,,n=a,r=abc').username).toBe('a');
  });

  it('derives nothing of a password that is not printable ASCII', async () => {
    await expect(deriveVerifiers('pässword')).rejects.toThrow('printable ASCII');
    await expect(deriveVerifiers('')).rejects.toThrow('printable ASCII');
  });

  it('knows its methods by name', () => {
    expect(scramMethods).toEqual(['SCRAM-SHA-256', 'SCRAM-SHA-512']);
    expect(isScramMethod('SCRAM-SHA-256')).toBe(true);
    expect(isScramMethod('SCRAM-SHA-1')).toBe(false);
    expect(isScramMethod('toString')).toBe(false);
  });
});
