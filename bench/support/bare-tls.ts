/**
 * What Node itself needs for a TLS connection: `bare-tls.js PORT CERT KEY [CA]`; with CA, for one whose client shows a certificate by it.
 * Whoever says anything is told "accepted".
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:tls';

const [port, cert = '', key = '', ca] = process.argv.slice(2);
const accepted = Buffer.from([0x20, 2, 0, 0]);
const mutual = ca === undefined ? {} : { ca: readFileSync(ca), requestCert: true, rejectUnauthorized: true };
const server = createServer(
  { cert: readFileSync(cert), key: readFileSync(key), minVersion: 'TLSv1.2', ...mutual },
  (socket) => {
    socket.on('data', () => socket.write(accepted));
    socket.on('error', () => socket.destroy());
  },
);
server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 }, () => process.send?.('listening'));
