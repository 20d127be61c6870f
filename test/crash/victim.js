// A client with a will in a process of its own, to be killed with SIGKILL. Its argument: { host, port, connect: <packet> }.
import { connect } from 'node:net';
import mqtt from 'mqtt-packet';

const { host, port, packet } = JSON.parse(process.argv[2] ?? '');
const options = { protocolVersion: packet.protocolVersion };
const incoming = mqtt.parser(options);
incoming.on('packet', ({ cmd, returnCode, reasonCode }) => {
  if (cmd === 'connack') console.log((reasonCode ?? returnCode) === 0 ? 'connected' : 'refused');
});
const socket = connect({ host, port });
socket.on('error', () => undefined);
socket.on('data', (chunk) => incoming.parse(chunk));
socket.on('close', () => process.exit());
socket.write(mqtt.generate({ ...packet, password: Buffer.from(packet.password) }, options));
