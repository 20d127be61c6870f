import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { Readiness, Registry } from '#process';

import type { Listener } from './accept.js';

export interface OpsOptions {
  readonly host: string;
  readonly port: number;
  readonly readiness: Readiness;
  readonly metrics: Registry;
}

/** Health and metrics, for whoever runs the process: `/livez`, `/readyz`, `/metrics`. */
export async function listenOps({ host, port, readiness, metrics }: OpsOptions): Promise<Listener> {
  const server = createServer({ requestTimeout: 10_000, maxHeaderSize: 8 * 1024 }, (request, response) => {
    void answer(request.url ?? '', response, readiness, metrics);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, resolve);
  });
  const { port: actual } = server.address() as AddressInfo;
  return {
    host,
    port: actual,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  url: string,
  response: ServerResponse,
  readiness: Readiness,
  metrics: Registry,
): Promise<void> {
  switch (url.replace(/\?.*$/s, '')) {
    case '/livez':
      return send(response, 200, { live: true });
    case '/readyz': {
      const report = readiness.report();
      return send(response, report.ready ? 200 : 503, report);
    }
    case '/metrics':
      response.writeHead(200, { 'Content-Type': metrics.contentType }).end(await metrics.metrics());
      return;
    default:
      return send(response, 404, { error: 'not-found' });
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}
