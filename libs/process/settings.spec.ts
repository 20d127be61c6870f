import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { ConfigError, readSettings, settingNames } from './settings.js';

function refusal(env: Record<string, string>): ConfigError {
  try {
    readSettings(env);
  } catch (error) {
    if (error instanceof ConfigError) return error;
  }
  throw new Error('the environment was accepted');
}

describe('settings', () => {
  it('are the ones that docs/operations.md lists, no more and no fewer', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8');
    const section = /^## Settings$(.*?)^## /ms.exec(page)?.[1] ?? '';
    const firstCells = Array.from(section.matchAll(/^\| (`.*?`) \|/gm), ([, cell = '']) => cell);
    const listed = firstCells.flatMap((cell) =>
      Array.from(cell.matchAll(/`([A-Z_]+)`/g), ([, name]) => name),
    );
    expect(listed).toHaveLength(settingNames.length);
    expect(new Set(listed)).toEqual(new Set<string>(settingNames));
  });

  it('have a default for everything, on loopback', () => {
    const settings = readSettings({ PATH: '/bin' });
    expect(settings).toMatchObject({ bind: '127.0.0.1', httpPort: 3000, mqttPort: 1883, mqttsPort: 8883 });
    expect(settings).toMatchObject({ wsPort: 8083, wssPort: 8084, opsPort: 3001, postgresPort: 0 });
    expect(settings.dataDir).toBe(`${process.cwd()}/.moorage`);
    expect(settings.tls.certFile).toBe(`${process.cwd()}/.moorage/tls/server.crt`);
    expect(settings.databaseUrl).toBeUndefined();
    expect(Object.isFrozen(settings)).toBe(true);
  });

  it('take an empty value for an absent one', () => {
    expect(readSettings({ MOORAGE_HTTP_PORT: '', DATABASE_URL: '' })).toMatchObject({ httpPort: 3000 });
  });

  it('refuse a MOORAGE_ name that nobody knows', () => {
    expect(refusal({ MOORAGE_HTTP_PROT: '3000' })).toMatchObject({
      code: 'config.unknown',
      variable: 'MOORAGE_HTTP_PROT',
    });
  });

  it.each([
    ['MOORAGE_HTTP_PORT', 'eighty'],
    ['MOORAGE_MQTT_PORT', '65536'],
    ['MOORAGE_MQTT_PORT', '-1'],
    ['MOORAGE_WS_PORT', '80.5'],
    ['MOORAGE_BIND', 'not an address'],
    ['MOORAGE_LOG_LEVEL', 'loud'],
    ['MOORAGE_SERVER_REFERENCE', 'one,two'],
    ['MOORAGE_SERVER_REFERENCE', 'one two:65536'],
    ['MOORAGE_SERVER_REFERENCE', 'one:0'],
    ['MOORAGE_SERVER_REFERENCE', 'one:two'],
    ['MOORAGE_SERVER_REFERENCE', '[one]:1883'],
    ['MOORAGE_PROXY_PROTOCOL_FROM', 'all'],
    ['MOORAGE_PROXY_PROTOCOL_FROM', '10.0.0.0/33'],
    ['MOORAGE_PROXY_PROTOCOL_FROM', '10.0.0.1,'],
    ['MOORAGE_EGRESS_ALLOW', 'intranet'],
    ['MOORAGE_SECRET_KEY', 'short'],
    ['DATABASE_URL', 'mysql://localhost/x'],
  ])('refuse %s=%s and name the variable', (variable, value) => {
    const error = refusal({ [variable]: value });
    expect(error).toMatchObject({ code: 'config.invalid', variable });
    expect(error.message).toContain(variable);
  });

  it('read addresses and ranges of proxies, and have none by default', () => {
    const text = '192.0.2.7, 10.0.0.0/8,2001:db8::/32';
    expect(readSettings({ MOORAGE_PROXY_PROTOCOL_FROM: text }).proxyProtocolFrom).toEqual([
      '192.0.2.7',
      '10.0.0.0/8',
      '2001:db8::/32',
    ]);
    expect(readSettings({}).proxyProtocolFrom).toEqual([]);
  });

  it('read where clients are sent, by name or address, with a port or without', () => {
    const text = 'other.example.org 10.10.151.22:8883 [fe80::9610:3eff:fe1c]:1883 2001:db8::7 [2001:db8::7]';
    expect(readSettings({ MOORAGE_SERVER_REFERENCE: text }).serverReference).toBe(text);
    expect(readSettings({}).serverReference).toBeUndefined();
  });

  it('want certificate and key together', () => {
    expect(refusal({ MOORAGE_TLS_CERT_FILE: '/c.pem' }).variable).toBe('MOORAGE_TLS_KEY_FILE');
    expect(refusal({ MOORAGE_TLS_KEY_FILE: '/k.pem' }).variable).toBe('MOORAGE_TLS_CERT_FILE');
  });

  it('read the secret key as hexadecimal and as base64url', () => {
    const key = Buffer.alloc(32, 7);
    for (const encoding of ['hex', 'base64url'] as const) {
      const settings = readSettings({ MOORAGE_SECRET_KEY: key.toString(encoding) });
      expect(settings.secretKey?.reveal()).toEqual(key);
    }
  });

  it('never show a secret, neither in errors nor when printed', () => {
    expect(refusal({ DATABASE_URL: 'http://u:hunter2@h/d' }).message).not.toContain('hunter2');
    expect(refusal({ MOORAGE_SECRET_KEY: 'hunter2' }).message).not.toContain('hunter2');
    const settings = readSettings({
      DATABASE_URL: 'postgres://u:hunter2@h/d',
      MOORAGE_SECRET_KEY: 'a'.repeat(64),
    });
    const shown = inspect(settings, { depth: 9 }) + JSON.stringify(settings) + String(settings.databaseUrl);
    expect(shown).not.toContain('hunter2');
    expect(shown).not.toContain('aaaa');
    expect(settings.databaseUrl?.reveal()).toContain('hunter2');
  });
});
