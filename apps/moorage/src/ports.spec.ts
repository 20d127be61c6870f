import { createServer } from 'node:net';
import { once } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { readSettings } from '#process';
import { choosePorts, portSettings } from './ports.js';

const allFree = Object.fromEntries(Object.values(portSettings).map((name) => [name, '0']));

describe('ports', () => {
  it('that are 0 become free ones, all different', async () => {
    const ports = Object.values(await choosePorts(readSettings(allFree)));
    expect(ports).toHaveLength(7);
    expect(new Set(ports).size).toBe(7);
    expect(ports.every((port) => port > 1023)).toBe(true);
  });

  it('that are in use are all named, with their settings, before anything starts', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const settings = readSettings({ ...allFree, MOORAGE_MQTT_PORT: `${port}`, MOORAGE_WS_PORT: `${port}` });
    await expect(choosePorts(settings)).rejects.toMatchObject({
      code: 'port.unusable',
      message: `MOORAGE_MQTT_PORT: port ${port} on 127.0.0.1 is in use; MOORAGE_WS_PORT: port ${port} on 127.0.0.1 is in use`,
    });
    server.close();
  });

  it('that are the same in two settings are named with both', async () => {
    const { mqttPort } = await choosePorts(readSettings(allFree));
    const port = String(mqttPort);
    const settings = readSettings({ ...allFree, MOORAGE_MQTT_PORT: port, MOORAGE_WS_PORT: port });
    await expect(choosePorts(settings)).rejects.toMatchObject({
      code: 'port.unusable',
      message: `MOORAGE_WS_PORT: port ${port} is also that of MOORAGE_MQTT_PORT`,
    });
  });

  it('cannot be had on an address that is not of this machine, which is said once', async () => {
    const settings = readSettings({ ...allFree, MOORAGE_BIND: '203.0.113.9' });
    await expect(choosePorts(settings)).rejects.toMatchObject({
      message: 'MOORAGE_BIND: 203.0.113.9 is not an address of this machine',
    });
  });

  it.each(['300.1.1.1', 'nowhere.invalid'])('cannot be had on %s, which is no address', async (bind) => {
    const settings = readSettings({ ...allFree, MOORAGE_BIND: bind });
    await expect(choosePorts(settings)).rejects.toMatchObject({
      message: `MOORAGE_BIND: ${bind} is no address, nor a name that has one`,
    });
  });
});
