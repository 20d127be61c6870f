import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { z } from 'zod';
import { problemMediaType, problemSchema } from './problem.js';
import { apiKeyScheme } from './requires.decorator.js';

/** `z.date()` stands for what JSON carries in its place, an RFC 3339 time; bigints travel as decimal strings. */
function jsonSchemaOf(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    io,
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      if (zodSchema._zod.def.type === 'date')
        Object.assign(jsonSchema, { type: 'string', format: 'date-time' });
      if (zodSchema._zod.def.type === 'bigint')
        Object.assign(jsonSchema, { type: 'string', pattern: '^-?\\d+$' });
    },
  });
  return json;
}

/** The whole document, from the routes as they are. */
function openApiDocument(app: NestFastifyApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Moorage')
    .setDescription(
      'The control plane: tenants, devices, credentials and rights in; telemetry, presence and denials out.',
    )
    .setVersion('1')
    .setOpenAPIVersion('3.1.0')
    .addServer('/', 'Where this document comes from')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'An API key: moo_…' }, apiKeyScheme)
    .build();
  const document = SwaggerModule.createDocument(app, config, {
    operationIdFactory: (controller, method) => `${controller.replace(/Controller$/, '')}.${method}`,
    standardSchemaConverter: (schema, { schemaType }) =>
      schema instanceof z.ZodType ? withComponents(jsonSchemaOf(schema, schemaType)) : undefined,
  });
  document.components = {
    ...document.components,
    schemas: {
      ...document.components?.schemas,
      ...withComponents(jsonSchemaOf(problemSchema, 'output')).components,
    },
  };
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of operationsOf(item)) completeOperation(method, path, operation);
  }
  return document;
}

/** Schemas with an id of their own (`.meta({ id })`) become components. */
function withComponents({ $defs, ...schema }: Record<string, unknown>) {
  return { schema, ...(typeof $defs === 'object' && $defs !== null ? { components: { ...$defs } } : {}) };
}

type PathItem = OpenAPIObject['paths'][string];
type Operation = NonNullable<PathItem['get']>;

const methods = ['get', 'put', 'post', 'patch', 'delete'] as const;
type Method = (typeof methods)[number];

function operationsOf(item: PathItem): [Method, Operation][] {
  return methods.flatMap((method): [Method, Operation][] => {
    const operation = item[method];
    return operation === undefined ? [] : [[method, operation]];
  });
}

const idempotencyKey = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description: 'The same request under the same key gets the first answer again, for a day',
  schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[!-~]+$' },
} satisfies Parameter;

/** Those that are no id of a resource. */
const partsOfPaths = new Map([
  ['tenant', 'Slug or id of the tenant'],
  ['clientId', 'Client identifier'],
  ['host', 'Host name'],
  ['number', 'Number of the version'],
  ['operation', 'Number of the operation'],
  ['topic', 'One part of the path: its slashes are written %2F'],
]);

const inWords = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

/** What every route has because of the edge it stands behind: its path's parameters, what the edge takes, and the problems it may answer with. */
function completeOperation(method: Method, path: string, operation: Operation): void {
  // The media type of a body is its `content`; as a parameter OpenAPI ignores it, and generated clients ask for it.
  const parameters = (operation.parameters ?? []).filter(
    (given) => !('name' in given && given.in === 'header' && given.name === 'content-type'),
  );
  operation.parameters = parameters;
  for (const [, name = ''] of path.matchAll(/\{(\w+)\}/g)) {
    const description = partsOfPaths.get(name) ?? `Id of the ${inWords(name)}`;
    const given = parameters.find((one) => 'name' in one && one.in === 'path' && one.name === name);
    if (given === undefined)
      parameters.unshift({ name, in: 'path', required: true, description, schema: { type: 'string' } });
    else if ('name' in given) given.description ??= description;
  }
  for (const parameter of parameters) sayTrueOrFalse(parameter);
  const isGuarded = operation.security !== undefined;
  // Said, not left out: this route takes no key.
  operation.security ??= [];
  if (isGuarded && method === 'post') completePost(parameters, operation);
  const statuses = [
    ...(parameters.some((given) => 'in' in given && given.in === 'query') ? [400] : []),
    // A key in the header, or what a device shows in the body.
    ...(isGuarded || operation.requestBody !== undefined ? [401, 403, 429] : []),
    ...(path.includes('{') ? [404] : []),
    ...(parameters.some((given) => 'name' in given && given.name === 'If-Match') ? [400, 412, 428] : []),
    ...(operation.requestBody === undefined ? [] : [400, 409, 413, 415, 422]),
  ];
  for (const status of new Set(statuses)) operation.responses[String(status)] ??= problemResponse(status);
  operation.responses['default'] ??= problemResponse('default');
}

function completePost(parameters: Parameter[], { responses }: Operation): void {
  parameters.push(idempotencyKey);
  for (const [status, response] of Object.entries(responses)) {
    if (response === undefined || '$ref' in response) continue;
    response.headers = {
      ...response.headers,
      ...(status === '201' ? { Location: location } : {}),
      'Idempotent-Replayed': replayed,
    };
  }
}

const location = {
  description: 'Path of what was made',
  schema: { type: 'string', format: 'uri-reference' },
} satisfies Header;

const replayed = {
  description: 'This is the first answer again, to the same request under the same Idempotency-Key',
  schema: { type: 'string', enum: ['true'] },
} satisfies Header;

const retryAfterHeader = {
  description: 'Seconds to wait',
  schema: { type: 'integer', minimum: 0 },
} satisfies Header;

type Header = NonNullable<ResponseObject['headers']>[string];
type ResponseObject = Exclude<Operation['responses'][string], undefined | { $ref: string }>;
type Parameter = NonNullable<Operation['parameters']>[number];

/** A query's `true` and `false` are words to whoever reads them, and a boolean to whoever generates a client. */
function sayTrueOrFalse(parameter: Parameter): void {
  const schema = 'schema' in parameter ? parameter.schema : undefined;
  if (schema === undefined || '$ref' in schema || String(schema.enum) !== 'true,false') return;
  delete schema.enum;
  schema.type = 'boolean';
  if (schema.default !== undefined) schema.default = schema.default === 'true';
}

function problemResponse(status: number | 'default'): NonNullable<Operation['responses'][string]> {
  return {
    description: problemTitles[status] ?? problemTitles.default,
    // Of the others 503 has it.
    ...(status === 429 || status === 'default' ? { headers: { 'Retry-After': retryAfterHeader } } : {}),
    content: { [problemMediaType]: { schema: { $ref: '#/components/schemas/Problem' } } },
  };
}

const problemTitles: Readonly<Record<number, string> & Record<'default', string>> = {
  400: 'The request cannot be parsed, or a query parameter is unknown or has no usable value',
  401: 'No valid API key, or what stands in its place',
  403: 'The role of the key does not include this',
  404: 'No such thing, or not yours to see',
  409: 'In the way: a taken name, something in use, a limit reached',
  412: 'It has changed since you read it',
  413: 'The body is too large',
  415: 'The media type of the body is not offered',
  422: 'The body breaks a rule; `errors` names the members',
  428: 'If-Match is missing',
  429: 'Too many requests; Retry-After says how long to wait',
  default: 'Any other problem',
};

/** `/openapi.json`, and a page to browse it at `/docs` whose every asset comes from here. */
export function serveDocumentation(app: NestFastifyApplication): void {
  let document: OpenAPIObject | undefined;
  SwaggerModule.setup('docs', app, () => (document ??= openApiDocument(app)), {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
    customSiteTitle: 'Moorage API',
    swaggerOptions: { validatorUrl: null, persistAuthorization: false },
  });
}
