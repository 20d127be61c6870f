import type { EgressOptions, Logger } from '#process';

import type { IdentityFiles } from './listeners/identities.js';

export interface BrokerOptions {
  /** With the role moorage_broker. */
  readonly databaseUrl: string;
  readonly secretKey: Buffer;
  /** Interface to listen on. */
  readonly bind: string;
  /** 0: one that is free. */
  readonly ports: Readonly<Record<'mqtt' | 'mqtts' | 'ws' | 'wss' | 'ops', number>>;
  readonly tls: IdentityFiles;
  /** Addresses and ranges of proxies: connections come from them alone, with a header of the PROXY protocol. Empty: from anybody. */
  readonly proxyProtocolFrom?: readonly string[];
  /** Where MQTT 5.0 clients are sent when this process stops. */
  readonly serverReference?: string | undefined;
  /** What tenants may have called for them. */
  readonly egress?: EgressOptions;
  /** Of the api, as this process reaches it: `http://127.0.0.1:3000`. */
  readonly apiUrl?: string | undefined;
  /** Nobody is served while a process that was here before still may; otherwise both serve, for what several share (`$tenant`). */
  readonly servesAlone?: boolean;
  readonly log: Logger;
  /** This process can no longer be one: its sessions belong to others. It must end. */
  readonly onLost: (why: string) => void;
}
