/**
 * What an offender costs the machine without a broker: a server, in a process of its own, that lets everybody in and sends back
 * what it reads, a client's share of bytes a second. `echo.js BYTES_A_SECOND` prints its port, and stops with its input.
 */
import { type AddressInfo, createServer } from 'node:net';

const bytesPerSecond = Number(process.argv[2]);
const connack = Buffer.from([0x20, 2, 0, 0]);
const suback = Buffer.from([0x90, 3, 0, 1, 0]);

const server = createServer((socket) => {
  let paidUntil = performance.now();
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    const type = (chunk[0] ?? 0) >> 4;
    if (type === 1) return void socket.write(connack);
    if (type === 8) return void socket.write(suback);
    if (socket.writableLength < 64 * 1024) socket.write(chunk);
    const now = performance.now();
    paidUntil = Math.max(paidUntil, now) + (chunk.length / bytesPerSecond) * 1000;
    socket.pause();
    setTimeout(() => socket.resume(), paidUntil - now);
  });
});
process.stdin.on('end', () => process.exit()).resume();
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
