/**
 * What an offender costs the machine without a broker: a server, in a process of its own, that lets everybody in and hands what
 * publishers send, unread, to everybody who has subscribed to anything: as many bytes in as the broker takes of one connection in
 * a second, and out as it would deliver. `echo.js BYTES_A_SECOND` prints its port, and stops with its input.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net';

const bytesPerSecond = Number(process.argv[2]);
const connack = Buffer.from([0x20, 2, 0, 0]);
const suback = Buffer.from([0x90, 3, 0, 1, 0]);

/** What waits for one of them at most: the rest is lost to it, as QoS 0 is. */
const mostWaitingBytes = 64 * 1024;
const subscribers = new Set<Socket>();

const server = createServer((socket) => {
  let paidUntil = performance.now();
  socket.on('error', () => undefined);
  socket.on('close', () => subscribers.delete(socket));
  socket.on('data', (chunk: Buffer) => {
    const type = (chunk[0] ?? 0) >> 4;
    if (type === 1) return void socket.write(connack);
    if (subscribers.has(socket)) return;
    if (type === 8) {
      subscribers.add(socket);
      return void socket.write(suback);
    }
    for (const subscriber of subscribers) {
      if (subscriber.writableLength < mostWaitingBytes) subscriber.write(chunk);
    }
    const now = performance.now();
    paidUntil = Math.max(paidUntil, now) + (chunk.length / bytesPerSecond) * 1000;
    socket.pause();
    setTimeout(() => socket.resume(), paidUntil - now);
  });
});
process.stdin.on('end', () => process.exit()).resume();
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
