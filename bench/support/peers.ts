/** The brokers ours is held against, each with passwords: Debian's mosquitto and npm's aedes. */
import { execFileSync, fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Target } from './load.js';
import { freePort } from './ports.js';

export interface Peer extends Target {
  readonly name: string;
  stop(): void;
}

const username = 'bench';
const password = 'a-password-for-benchmarks';

/** Undefined: it is not installed. */
export async function startMosquitto(): Promise<Peer | undefined> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-mosquitto-'));
  const port = await freePort();
  const passwords = join(directory, 'passwords');
  const configuration = join(directory, 'mosquitto.conf');
  try {
    execFileSync('mosquitto_passwd', ['-b', '-c', passwords, username, password], { stdio: 'ignore' });
  } catch {
    rmSync(directory, { recursive: true });
    return undefined;
  }
  writeFileSync(
    configuration,
    [
      `listener ${port} 127.0.0.1`,
      'allow_anonymous false',
      `password_file ${passwords}`,
      'persistence false',
      'log_type none',
      'set_tcp_nodelay true',
      // It acknowledges what has not reached the subscriber yet; by default it drops what is over a thousand messages.
      'max_queued_messages 0',
      'max_inflight_messages 1000',
      ...(process.getuid?.() === 0 ? ['user root'] : []),
      '',
    ].join('\n'),
  );
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin`; // where Debian puts it
  const child = spawn('mosquitto', ['-c', configuration], {
    stdio: 'ignore',
    env: { ...process.env, PATH: path },
  });
  await listening(child, port);
  return peer('mosquitto', child, port, () => rmSync(directory, { recursive: true }));
}

export async function startAedes(): Promise<Peer> {
  const port = await freePort();
  const child = fork(join(import.meta.dirname, 'aedes.js'), [String(port), username, password]);
  await listening(child, port);
  return peer('aedes', child, port, () => undefined);
}

function peer(name: string, child: ChildProcess, port: number, cleanUp: () => void): Peer {
  const stop = (): void => {
    child.kill();
    cleanUp();
  };
  process.once('exit', () => child.kill());
  return { name, port, username, password, pids: [child.pid ?? 0], stop };
}

async function listening(child: ChildProcess, port: number): Promise<void> {
  const failed = once(child, 'exit').then(() => {
    throw new Error('a peer ended at its start');
  });
  failed.catch(() => undefined); // later it is asked to end
  const attempt = async (): Promise<void> => {
    for (;;) {
      const socket = connect(port, '127.0.0.1');
      try {
        await once(socket, 'connect');
        return void socket.destroy();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  await Promise.race([attempt(), failed]);
}
