/**
 * What Node itself needs for a TLS connection: `bare-tls.js PORT CERT KEY [alike|CA]`. With `alike` its handshake is that of the broker's
 * listener: a certificate is asked for, whoever has none is let in, and there are no tickets. With CA, for one whose client shows a
 * certificate by it. Whoever says anything is told "accepted".
 */
import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type TlsOptions } from 'node:tls';

const [port, cert = '', key = '', third] = process.argv.slice(2);
const accepted = Buffer.from([0x20, 2, 0, 0]);

const server = createServer(
  { cert: readFileSync(cert), key: readFileSync(key), minVersion: 'TLSv1.2', ...handshake() },
  (socket) => {
    socket.on('data', () => socket.write(accepted));
    socket.on('error', () => socket.destroy());
  },
);
server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 }, () => process.send?.('listening'));

function handshake(): TlsOptions {
  if (third === undefined) return {};
  if (third !== 'alike') return { ca: readFileSync(third), requestCert: true, rejectUnauthorized: true };
  return { requestCert: true, rejectUnauthorized: false, secureOptions: constants.SSL_OP_NO_TICKET };
}
