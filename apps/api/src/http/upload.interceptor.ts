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
import { listMediaTypes, maxUploadBytes, rowMediaTypes } from './fastify.js';

const takesUpload = 'moorage:upload';

interface Upload {
  readonly mediaTypes: readonly string[];
  readonly read: (stream: Readable) => Promise<string | Buffer>;
  /** What else the route takes. */
  readonly orJson: boolean;
}

/** The route takes a text of NDJSON or CSV as its body, and no JSON. */
export function TakesUpload(description: string): MethodDecorator {
  const upload: Upload = { mediaTypes: rowMediaTypes, read: readText, orJson: false };
  return applyDecorators(
    SetMetadata(takesUpload, upload),
    ApiConsumes(...rowMediaTypes),
    ApiBody({ required: true, description, schema: { type: 'string' } }),
  );
}

/** The route takes a revocation list as it is, or a small one as a member of JSON: `crl`. */
export function TakesRevocationList(description: string): MethodDecorator {
  const upload: Upload = { mediaTypes: listMediaTypes, read: readBytes, orJson: true };
  const json = { type: 'object', required: ['crl'], properties: { crl: { type: 'string' } } };
  return applyDecorators(
    SetMetadata(takesUpload, upload),
    ApiConsumes(...listMediaTypes, 'application/json'),
    ApiBody({ required: true, description, schema: { oneOf: [{ type: 'string', format: 'binary' }, json] } }),
  );
}

/** Reads an upload, after the guard has let its sender in, and no further than its limit. */
@Injectable()
export class UploadInterceptor implements NestInterceptor {
  constructor(@Inject(Reflector) private readonly reflector: Reflector) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    if (context.getType() !== 'http') return next.handle();
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const upload = this.reflector.get<Upload | undefined>(takesUpload, context.getHandler());
    const { body } = request;
    if (!(body instanceof Readable)) {
      if (upload !== undefined && !upload.orJson) throw otherMediaType(upload);
      return next.handle();
    }
    const mediaType = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase() ?? '';
    if (upload?.mediaTypes.includes(mediaType) !== true) throw otherMediaType(upload);
    if (Number(request.headers['content-length'] ?? 0) > maxUploadBytes) throw tooLarge();
    request.body = await upload.read(body);
    return next.handle();
  }
}

function otherMediaType(upload: Upload | undefined): Failure {
  const taken = [...(upload?.mediaTypes ?? []), ...((upload?.orJson ?? true) ? ['application/json'] : [])];
  return new Failure('unsupported-media-type', `This route takes ${taken.join(' or ')}.`);
}

function tooLarge(): Failure {
  return new Failure('too-large', `An upload has at most ${maxUploadBytes} bytes.`);
}

async function readBytes(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxUploadBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

async function readText(stream: Readable): Promise<string> {
  const bytes = await readBytes(stream);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Failure('malformed', 'An upload is text in UTF-8.');
  }
}
