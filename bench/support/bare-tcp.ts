/** What Node itself needs for a TCP connection: `bare-tcp.js PORT`. Whoever says anything is told "accepted". */
import { createServer } from 'node:net';

const accepted = Buffer.from([0x20, 2, 0, 0]);
const server = createServer((socket) => {
  socket.on('data', () => socket.write(accepted));
  socket.on('error', () => socket.destroy());
});
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 }, () =>
  process.send?.('listening'),
);
