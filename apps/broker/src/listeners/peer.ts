import type { Link, PeerCertificate, Transport } from '#mqtt';

/** Who is at the other end of a connection, and how it has come. */
export type Peer = Pick<
  Link,
  'transport' | 'remoteAddress' | 'remotePort' | 'serverName' | 'peerCertificate' | 'tlsVersion'
>;

/** What is the same in every link, whatever carries it. */
export abstract class LinkToPeer implements Peer {
  readonly transport: Transport;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly serverName: string | undefined;
  readonly peerCertificate: PeerCertificate | undefined;
  readonly tlsVersion: string | undefined;

  constructor(peer: Peer) {
    this.transport = peer.transport;
    this.remoteAddress = peer.remoteAddress;
    this.remotePort = peer.remotePort;
    this.serverName = peer.serverName;
    this.peerCertificate = peer.peerCertificate;
    this.tlsVersion = peer.tlsVersion;
  }
}
