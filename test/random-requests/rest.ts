/** Requests made of what /openapi.json says. */
import type { Json } from '../support/api.js';
import type { Values } from './values.js';

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly text?: string;
}

const methods = ['get', 'post', 'put', 'patch', 'delete'];

export class RestRequests {
  readonly #document: Json;
  readonly #values: Values;
  readonly #operations: readonly {
    readonly path: string;
    readonly method: string;
    readonly operation: Json;
  }[];

  constructor(document: Json, values: Values, isTried: (method: string, path: string) => boolean) {
    this.#document = document;
    this.#values = values;
    this.#operations = Object.entries<Json>(document.paths).flatMap(([path, item]) =>
      methods
        .filter((method) => item[method] !== undefined && isTried(method, path))
        .map((method) => ({ path, method, operation: item[method] })),
    );
  }

  next(tenant: string): Request {
    const values = this.#values;
    const { path, method, operation } = values.pick(this.#operations);
    const own = path.replace('{tenant}', () => (values.chance(0.9) ? tenant : values.segment()));
    const parameters: Json[] = (operation.parameters ?? []).map((one: Json) => this.#resolve(one));
    const query = parameters
      .filter((parameter) => parameter.in === 'query' && values.chance(0.4))
      .map(({ name, schema }) => `${name}=${encodeURIComponent(asText(this.#value(schema)))}`)
      .join('&');
    const content = this.#resolve(operation.requestBody)?.content;
    const type = content === undefined ? undefined : values.pick(Object.keys(content));
    return {
      method: method.toUpperCase(),
      path: `${own.replace(/\{\w+\}/g, () => values.segment())}${query === '' ? '' : `?${query}`}`,
      headers: {
        ...(values.chance(0.8)
          ? { 'if-match': values.pick(['*', '*', '*', '"1"', '"2"', '"x"', '1', 'W/"1"']) }
          : {}),
        ...(values.chance(0.1) ? { 'idempotency-key': values.pick(['a', 'b', 'x'.repeat(300)]) } : {}),
        ...(type === undefined ? {} : { 'content-type': type }),
      },
      ...(type === undefined ? {} : { text: this.#body(type, content[type].schema) }),
    };
  }

  #body(type: string, schema: Json): string {
    if (type.includes('ndjson')) return `{"name":"${this.#values.word()}"}\n{"name":1}\nnot json\n`;
    if (type.includes('csv')) return `name,profile\n${this.#values.word()},default\n"un`;
    return JSON.stringify(this.#value(schema));
  }

  #resolve(schema: Json): Json {
    let found = schema;
    while (found?.$ref !== undefined)
      found = found.$ref
        .slice(2)
        .split('/')
        .reduce((part: Json, name: string) => part[name], this.#document);
    return found;
  }

  #value(of: Json, depth = 0): unknown {
    const values = this.#values;
    const schema = this.#resolve(of) ?? {};
    if (values.isStrange(depth)) return values.strange();
    if (schema.const !== undefined) return schema.const;
    if (schema.enum !== undefined) return values.pick(schema.enum);
    const choices = schema.oneOf ?? schema.anyOf;
    if (choices !== undefined) return this.#value(values.pick(choices), depth);
    const type = Array.isArray(schema.type) ? values.pick(schema.type) : schema.type;
    if (type === 'object') return this.#object(schema, depth);
    if (type === 'array')
      return Array.from({ length: values.count(3) }, () => this.#value(schema.items, depth + 1));
    if (type === 'integer' || type === 'number') {
      const { minimum = 0, maximum = 60 } = schema;
      return values.pick([minimum, maximum, maximum + 1, values.count(100)]);
    }
    if (type === 'boolean') return values.chance(0.5);
    if (type === 'null') return null;
    return schema.format === 'uuid' ? values.id() : values.word();
  }

  #object(schema: Json, depth: number): object {
    const values = this.#values;
    const required: readonly string[] = schema.required ?? [];
    const members = Object.entries(schema.properties ?? {})
      .filter(([name]) => values.chance(required.includes(name) ? 0.95 : 0.6))
      .map(([name, member]) => [name, this.#value(member, depth + 1)] as const);
    if (values.chance(0.05)) members.push([values.pick(['nobodys', '__proto__', 'id']), values.strange()]);
    return Object.fromEntries(members);
  }
}

function asText(value: unknown): string {
  return (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).slice(0, 1_000).toWellFormed();
}
