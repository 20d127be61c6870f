/** A small client of our own REST API, the one way in which the demo tenant is filled. */
export interface Rest {
  /** Undefined: there is no such thing (404). */
  find(path: string): Promise<unknown>;
  create(path: string, body: unknown): Promise<unknown>;
}

/** The api said no, and not that something is missing. */
export class RestError extends Error {
  override readonly name = 'RestError';

  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export function restClient(baseUrl: string, key: string): Rest {
  async function call(method: 'GET' | 'POST', path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(baseUrl + path, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (method === 'GET' && response.status === 404) return undefined;
    if (!response.ok) throw new RestError(response.status, `${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }
  return { find: (path) => call('GET', path), create: (path, body) => call('POST', path, body) };
}
