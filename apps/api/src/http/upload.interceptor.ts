import { Readable } from 'node:stream';
import {
  Inject,
  Injectable,
  SetMetadata,
  applyDecorators,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { ApiBody, ApiConsumes } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { Observable } from 'rxjs';
import { Failure } from '../failure.js';
import { maxUploadBytes, uploadMediaTypes } from './fastify.js';

const takesUpload = 'moorage:upload';

/** The route takes a text of NDJSON or CSV as its body, and no JSON. */
export function TakesUpload(description: string): MethodDecorator {
  return applyDecorators(
    SetMetadata(takesUpload, true),
    ApiConsumes(...uploadMediaTypes),
    ApiBody({ required: true, description, schema: { type: 'string' } }),
  );
}

/** Reads an upload, after the guard has let its sender in, and no further than its limit. */
@Injectable()
export class UploadInterceptor implements NestInterceptor {
  constructor(@Inject(Reflector) private readonly reflector: Reflector) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    if (context.getType() !== 'http') return next.handle();
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const isUpload = request.body instanceof Readable;
    if (isUpload !== (this.reflector.get<boolean>(takesUpload, context.getHandler()) ?? false)) {
      throw new Failure(
        'unsupported-media-type',
        'This resource does not accept the media type of the body.',
      );
    }
    if (request.body instanceof Readable) request.body = await readText(request.body);
    return next.handle();
  }
}

async function readText(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxUploadBytes)
      throw new Failure('too-large', `An upload has at most ${maxUploadBytes} bytes.`);
    chunks.push(chunk);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new Failure('malformed', 'An upload is text in UTF-8.');
  }
}
