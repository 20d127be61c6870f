import { applyDecorators, HttpCode } from '@nestjs/common';
import { ApiOperation, ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';
import { stamps } from '../fields.js';

export interface AnswerOptions {
  /** One line: what the route does. */
  readonly summary: string;
  readonly description?: string;
  /** The status where it is not done when it is answered; an operation says when it is. */
  readonly unfinished?: number;
  /** It may concern live connections, and then says where that can be followed. */
  readonly hasOperation?: boolean;
}

const etag = {
  ETag: { description: '`version` in quotes, for If-Match', schema: { type: 'string', example: '"3"' } },
} as const;

const operationLocation = {
  'Operation-Location': {
    description: 'Path of the operation that says how far the change has come, where it concerns connections',
    schema: { type: 'string', format: 'uri-reference' },
  },
} as const;

/** What a route answers when all is well: the status it sends, and the schema that documents it. Undefined: no body. */
export function Answers(
  status: number,
  schema: z.ZodType | undefined,
  options: AnswerOptions,
): MethodDecorator {
  const { summary, description, unfinished, hasOperation = unfinished !== undefined } = options;
  const headers = {
    ...(schema instanceof z.ZodObject && schema.shape['version'] === stamps.version ? etag : {}),
    ...(hasOperation ? operationLocation : {}),
  };
  return applyDecorators(
    HttpCode(status),
    ApiOperation({ summary, ...(description === undefined ? {} : { description }) }),
    ApiResponse({
      status,
      description: 'Done',
      headers,
      ...(schema === undefined ? {} : { standardSchema: schema }),
    }),
    ...(unfinished === undefined
      ? []
      : [
          ApiResponse({
            status: unfinished,
            description: 'Decided; Operation-Location says when it is done',
            headers,
          }),
        ]),
  );
}
