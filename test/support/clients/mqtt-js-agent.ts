/** MQTT.js as an agent (see agent.ts). */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import mqtt, { type IClientOptions, type IConnackPacket, type MqttClient } from 'mqtt';

import type { AgentAnswer, AgentRequest, WireLetter, WireListening } from './agent.js';
import type { Identity, Route } from './tourist.js';

const clients = new Map<number, MqttClient>();

createInterface({ input: process.stdin }).on('line', (line) => {
  const request = JSON.parse(line) as AgentRequest;
  const { n } = request;
  serve(request).then(
    (done) => say({ n, done }),
    (error: unknown) =>
      say(error instanceof RefusedHere ? { n, refused: error.code } : { n, error: String(error) }),
  );
});

class RefusedHere extends Error {
  constructor(readonly code: number) {
    super();
  }
}

async function serve(request: AgentRequest): Promise<NonNullable<AgentAnswer['done']>> {
  const { n, route, identity } = request;
  switch (request.op) {
    case 'listen':
      return listen(n, route, identity, request.listening);
    case 'publish': {
      const { client } = await enter(route, identity);
      const code = await publish(client, request.letter);
      await client.endAsync();
      return { code };
    }
    case 'request': {
      const { client } = await enter(route, identity);
      const correlationData = Buffer.from(`request ${n}`);
      await client.subscribeAsync(request.responseTopic, { qos: 1 });
      const payload = new Promise<string>((resolve, reject) =>
        client.once('message', (_topic, body, { properties }) => {
          const isAnswer = properties?.correlationData?.equals(correlationData) === true;
          if (isAnswer) resolve(body.toString('base64'));
          else reject(new Error('the answer does not carry the correlation data'));
        }),
      );
      await publish(client, request.letter, { responseTopic: request.responseTopic, correlationData });
      const answer = await payload;
      await client.endAsync();
      return { payload: answer };
    }
    case 'leave':
      await clients.get(request.of)?.endAsync();
      return {};
  }
}

async function listen(n: number, route: Route, identity: Identity, listening: WireListening) {
  const { filter, qos, keepAliveS, isPersistent, will } = listening;
  const { client, connack } = await enter(
    route,
    identity,
    {
      keepalive: keepAliveS,
      clean: !isPersistent,
      ...(route.version === 5 ? { properties: { sessionExpiryInterval: isPersistent ? 3_600 : 0 } } : {}),
      ...(will === undefined
        ? {}
        : { will: { ...letterOf(will), topic: will.topic, payload: bytesOf(will) } }),
    },
    (entering) => {
      clients.set(n, entering);
      entering.on('message', (topic, payload, { qos: level, retain }) =>
        say({ n, message: { topic, payload: payload.toString('base64'), qos: level, retain } }),
      );
      entering.on('packetreceive', ({ cmd }) => {
        if (cmd === 'pingresp') say({ n, ping: true });
      });
    },
  );
  const [grant] = await client.subscribeAsync(filter, { qos: qos as 0 | 1 | 2 });
  return { granted: grant?.qos ?? 0x80, sessionPresent: connack.sessionPresent };
}

/** `prepare` comes before CONNECT: a resumed session's messages follow CONNACK at once. */
async function enter(
  { transport, version, port, caFile }: Route,
  { clientId, username, password }: Identity,
  options: IClientOptions = {},
  prepare: (client: MqttClient) => void = () => undefined,
): Promise<{ client: MqttClient; connack: IConnackPacket }> {
  const isSecure = transport === 'mqtts' || transport === 'wss';
  const client = mqtt.connect({
    protocol: transport,
    host: '127.0.0.1',
    port,
    path: '/mqtt',
    ...(isSecure ? { ca: readFileSync(caFile) } : {}),
    clientId,
    username,
    password,
    protocolVersion: version,
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    reconnectPeriod: 0,
    manualConnect: true,
    ...options,
  });
  prepare(client);
  const connack = await new Promise<IConnackPacket>((resolve, reject) => {
    client.once('connect', resolve);
    client.on('error', (error) => {
      const code: unknown = Reflect.get(error, 'code');
      reject(typeof code === 'number' ? new RefusedHere(code) : error);
    });
    client.connect();
  });
  return { client, connack };
}

/** The acknowledgement's reason code. */
async function publish(
  client: MqttClient,
  letter: WireLetter,
  properties?: { responseTopic: string; correlationData: Buffer },
): Promise<number> {
  try {
    const options = { ...letterOf(letter), ...(properties === undefined ? {} : { properties }) };
    await client.publishAsync(letter.topic, bytesOf(letter), options);
    return 0;
  } catch (error) {
    const code: unknown = Reflect.get(Object(error), 'code');
    if (typeof code === 'number') return code;
    throw error;
  }
}

function letterOf({ qos, retain }: WireLetter): { qos: 0 | 1 | 2; retain: boolean } {
  return { qos: qos as 0 | 1 | 2, retain };
}

function bytesOf({ payload }: WireLetter): Buffer {
  return Buffer.from(payload, 'base64');
}

function say(answer: AgentAnswer): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
