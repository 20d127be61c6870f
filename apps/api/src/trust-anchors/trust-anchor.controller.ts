import {
  Body,
  Controller,
  Delete,
  Get,
  Inject,
  Param,
  Patch,
  Post,
  Put,
  Query,
  Req,
  Res,
} from '@nestjs/common';
import { ApiConsumes } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { ExpectedVersion } from '../failure.js';
import { Answers } from '../http/answers.decorator.js';
import { IfMatch, NeedsIfMatch, tagged } from '../http/etag.js';
import { announceOperation, changed } from '../http/operation.js';
import { pageOf, sendPage } from '../http/paging.js';
import { InTenant, Requires } from '../http/requires.decorator.js';
import { checkBody } from '../http/schema.pipe.js';
import { TakesRevocationList } from '../http/upload.interceptor.js';
import type { TenantScope } from '../scope.js';
import {
  encodedList,
  newRevocationList,
  newTrustAnchor,
  possessionProof,
  presentTrustAnchor,
  trustAnchorPatch,
  trustAnchorPath,
  trustAnchorQuery,
  trustAnchorView,
  type NewTrustAnchorInput,
  type PossessionProofInput,
  type TrustAnchorPatchInput,
} from './trust-anchor.schema.js';
import { TrustAnchorService } from './trust-anchor.service.js';

type View = z.input<typeof trustAnchorView>;

@Controller('v1/tenants/:tenant/trust-anchors')
export class TrustAnchorController {
  constructor(@Inject(TrustAnchorService) private readonly anchors: TrustAnchorService) {}

  @Post()
  @Requires('trust-anchors:write')
  @Answers(201, trustAnchorView, {
    summary: 'Bring the certificate of an authority; it is trusted once possession of its key is proven',
    description: 'Sign a certificate whose common name is the challenge, and send it to …/proof.',
  })
  async create(
    @InTenant() scope: TenantScope,
    @Body({ schema: newTrustAnchor }) input: NewTrustAnchorInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const anchor = await this.anchors.create(scope, input);
    void reply.header('Location', `/v1/tenants/${scope.tenantSlug}/trust-anchors/${anchor.id}`);
    return tagged(reply, presentTrustAnchor(anchor));
  }

  @Get()
  @Requires('trust-anchors:read')
  @Answers(200, pageOf(trustAnchorView), { summary: 'List trust anchors, oldest first' })
  async list(
    @InTenant() scope: TenantScope,
    @Query({ schema: trustAnchorQuery }) query: z.output<typeof trustAnchorQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return sendPage(await this.anchors.list(scope, query), presentTrustAnchor, request, reply);
  }

  @Get(':anchor')
  @Requires('trust-anchors:read')
  @Answers(200, trustAnchorView, { summary: 'Read a trust anchor' })
  async get(
    @InTenant() scope: TenantScope,
    @Param('anchor', { schema: trustAnchorPath }) id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    return tagged(reply, presentTrustAnchor(await this.anchors.get(scope, id)));
  }

  @Post(':anchor/proof')
  @Requires('trust-anchors:write')
  @Answers(200, trustAnchorView, {
    summary: 'Prove possession of the key: from then on the anchor is trusted',
    description: 'Takes no If-Match: the challenge is for this certificate alone.',
  })
  async prove(
    @InTenant() scope: TenantScope,
    @Param('anchor', { schema: trustAnchorPath }) id: string,
    @Body({ schema: possessionProof }) input: PossessionProofInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    return tagged(reply, presentTrustAnchor(await this.anchors.prove(scope, id, input)));
  }

  @Patch(':anchor')
  @Requires('trust-anchors:write')
  @NeedsIfMatch()
  @ApiConsumes('application/merge-patch+json', 'application/json')
  @Answers(200, trustAnchorView, {
    summary:
      'Rename a trust anchor, renew its certificate, or say how revocations are learnt of and what it means if they are not',
    hasOperation: true,
  })
  async update(
    @InTenant() scope: TenantScope,
    @Param('anchor', { schema: trustAnchorPath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Body({ schema: trustAnchorPatch }) patch: TrustAnchorPatchInput,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const { value, operation } = await this.anchors.update(scope, id, expected, patch);
    return changed(reply, scope, { value: presentTrustAnchor(value), operation });
  }

  @Put(':anchor/crl')
  @Requires('trust-anchors:write')
  @TakesRevocationList(
    'DER or PEM as it is, up to 16 MiB; or one of up to 256 KiB in JSON: PEM, or DER in base64',
  )
  @Answers(200, trustAnchorView, {
    summary: 'Bring a newer revocation list; connections with what it revokes are closed',
    description: 'Takes no If-Match: the number of the list says which one is newer.',
    hasOperation: true,
  })
  async revoke(
    @InTenant() scope: TenantScope,
    @Param('anchor', { schema: trustAnchorPath }) id: string,
    @Body() body: unknown,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<View> {
    const list = Buffer.isBuffer(body) ? body : encodedList(checkBody(newRevocationList, body));
    const { value, operation } = await this.anchors.revoke(scope, id, list);
    return changed(reply, scope, { value: presentTrustAnchor(value), operation });
  }

  @Delete(':anchor')
  @Requires('trust-anchors:write')
  @NeedsIfMatch()
  @Answers(204, undefined, {
    summary: 'Delete a trust anchor; connections that rest on it are closed',
    description: 'Credentials that demand this anchor are deleted with it.',
    hasOperation: true,
  })
  async delete(
    @InTenant() scope: TenantScope,
    @Param('anchor', { schema: trustAnchorPath }) id: string,
    @IfMatch() expected: ExpectedVersion,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    announceOperation(reply, scope, await this.anchors.delete(scope, id, expected));
  }
}
