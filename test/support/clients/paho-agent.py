"""Eclipse Paho's Python client as an agent (see agent.ts). `--versions` prints the protocol levels it speaks, and ends."""
import base64
import json
import sys
import threading

import paho.mqtt.client as mqtt

if '--versions' in sys.argv:
    print(json.dumps([3, 4, 5] if hasattr(mqtt, 'MQTTv5') else [3, 4]))
    sys.exit()

clients = {}
speaking = threading.Lock()


class Refused(Exception):
    def __init__(self, code):
        self.code = code


def say(**answer):
    with speaking:
        print(json.dumps(answer), flush=True)


def code_of(reason):
    """An integer in 3.x, an object in 5.0."""
    return getattr(reason, 'value', reason)


def properties_for(packet, **values):
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    properties = Properties(getattr(PacketTypes, packet))
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


class Client:
    """Connected when made. `n`: the request whose messages and pings are told."""

    def __init__(self, route, identity, n=None, keep_alive=60, persistent=False, will=None):
        self.version = route['version']
        self.events = {name: threading.Event() for name in ('connect', 'subscribe', 'publish', 'message', 'disconnect')}
        options = dict(client_id=identity['clientId'], protocol=self.version,
                       transport='websockets' if route['transport'] in ('ws', 'wss') else 'tcp')
        if self.version < 5:
            options['clean_session'] = not persistent
        if hasattr(mqtt, 'CallbackAPIVersion'):  # Paho 2
            options['callback_api_version'] = mqtt.CallbackAPIVersion.VERSION1
        self.paho = mqtt.Client(**options)
        self.paho.username_pw_set(identity['username'], identity['password'])
        if route['transport'] in ('mqtts', 'wss'):
            self.paho.tls_set(route['caFile'])
        self.paho.ws_set_options('/mqtt')
        if will:
            self.paho.will_set(will['topic'], base64.b64decode(will['payload']), will['qos'], will['retain'])
        self.paho.on_connect = self.connected
        self.paho.on_subscribe = self.subscribed
        self.paho.on_publish = lambda *_: self.events['publish'].set()
        self.paho.on_disconnect = lambda *_: self.events['disconnect'].set()
        self.paho.on_message = lambda _c, _u, message: self.received(n, message)
        if n is not None:
            self.paho.on_log = lambda _c, _u, _level, text: 'PINGRESP' in text and say(n=n, ping=True)
        more = {}
        if self.version == 5:
            more = dict(clean_start=not persistent,
                        properties=properties_for('CONNECT', SessionExpiryInterval=3600 if persistent else 0))
        self.paho.connect('127.0.0.1', route['port'], keep_alive, **more)
        self.paho.loop_start()
        self.wait('connect')
        if self.code != 0:
            self.paho.loop_stop()
            raise Refused(self.code)

    def connected(self, _client, _userdata, flags, reason, *_properties):
        if self.events['connect'].is_set():
            return  # it tries again by itself
        self.code, self.session_present = code_of(reason), bool(flags['session present'])
        self.events['connect'].set()

    def subscribed(self, _client, _userdata, _mid, granted, *_properties):
        self.granted = code_of(granted[0])
        self.events['subscribe'].set()

    def received(self, n, message):
        self.last = message
        self.events['message'].set()
        if n is not None:
            say(n=n, message=dict(topic=message.topic, payload=base64.b64encode(message.payload).decode(),
                                  qos=message.qos, retain=bool(message.retain)))

    def subscribe(self, topic_filter, qos):
        self.paho.subscribe(topic_filter, qos)
        self.wait('subscribe')

    def publish(self, letter, **properties):
        more = dict(properties=properties_for('PUBLISH', **properties)) if properties else {}
        self.paho.publish(letter['topic'], base64.b64decode(letter['payload']), letter['qos'], letter['retain'], **more)
        self.wait('publish')

    def leave(self):
        self.paho.disconnect()
        self.wait('disconnect')
        self.paho.loop_stop()

    def wait(self, name):
        if not self.events[name].wait(50):
            raise TimeoutError('no ' + name)


def listen(n, route, identity, listening):
    client = Client(route, identity, n, listening['keepAliveS'], listening['isPersistent'], listening.get('will'))
    clients[n] = client
    client.subscribe(listening['filter'], listening['qos'])
    return dict(granted=client.granted, sessionPresent=client.session_present)


def publish(_n, route, identity, letter):
    client = Client(route, identity)
    client.publish(letter)
    client.leave()
    return {}  # it does not tell the acknowledgement's reason code


def request(n, route, identity, letter, responseTopic):
    client = Client(route, identity)
    client.subscribe(responseTopic, 1)
    correlation = b'request %d' % n
    client.publish(letter, ResponseTopic=responseTopic, CorrelationData=correlation)
    client.wait('message')
    if client.last.properties.CorrelationData != correlation:
        raise ValueError('the answer does not carry the correlation data')
    client.leave()
    return dict(payload=base64.b64encode(client.last.payload).decode())


def leave(_n, of, **_):
    clients[of].leave()
    return {}


def serve(n, op, **parameters):
    operations = dict(listen=listen, publish=publish, request=request, leave=leave)
    try:
        say(n=n, done=operations[op](n, **parameters))
    except Refused as refused:
        say(n=n, refused=refused.code)
    except Exception as error:
        say(n=n, error=repr(error))


for line in sys.stdin:
    threading.Thread(target=serve, kwargs=json.loads(line), daemon=True).start()
