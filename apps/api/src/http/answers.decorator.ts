import { applyDecorators, HttpCode } from '@nestjs/common';
import { ApiOperation, ApiResponse } from '@nestjs/swagger';
import type { z } from 'zod';

export interface AnswerOptions {
  /** One line: what the route does. */
  readonly summary: string;
  readonly description?: string;
  /** The status where it is not done when it is answered. */
  readonly unfinished?: number;
}

/** What a route answers when all is well: the status it sends, and the schema that documents it. Undefined: no body. */
export function Answers(
  status: number,
  schema: z.ZodType | undefined,
  options: AnswerOptions,
): MethodDecorator {
  const { summary, description, unfinished } = options;
  return applyDecorators(
    HttpCode(status),
    ApiOperation({ summary, ...(description === undefined ? {} : { description }) }),
    ApiResponse({
      status,
      description: 'Done',
      ...(schema === undefined ? {} : { standardSchema: schema }),
    }),
    ...(unfinished === undefined
      ? []
      : [
          ApiResponse({
            status: unfinished,
            description: 'Decided; Operation-Location says when it is done',
          }),
        ]),
  );
}
