/** npm's aedes as a process of its own: `aedes.js PORT USERNAME PASSWORD`. */
import { createServer } from 'node:net';

import { Aedes } from 'aedes';

const [port, username, password] = process.argv.slice(2);
const broker = await Aedes.createBroker({
  authenticate: (_client, name, secret, done) =>
    done(null, name === username && secret?.toString() === password),
});
createServer({ noDelay: true }, broker.handle).listen(Number(port), '127.0.0.1');
