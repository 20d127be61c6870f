import { Body, Controller, Inject, Post, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { Answers } from '../http/answers.decorator.js';
import { Open } from '../http/requires.decorator.js';
import { SignInThrottle } from '../http/throttle.js';
import { claimView, newClaim, type ClaimView, type NewClaimInput } from './claim.schema.js';
import { ClaimService } from './claim.service.js';

/** For devices that have no key of the api, and need none: their token is what they show. */
@Controller('v1/claims')
export class ClaimController {
  constructor(
    @Inject(ClaimService) private readonly claims: ClaimService,
    @Inject(SignInThrottle) private readonly throttle: SignInThrottle,
  ) {}

  @Post()
  @Open()
  @Answers(201, claimView, {
    summary:
      'Become a device: a claim token and a certificate request for a certificate and the way to the broker',
    description:
      'Asked again with the same token and the same key it gives the same answer, and counts once.',
  })
  async claim(
    @Body({ schema: newClaim }) input: NewClaimInput,
    @Req() request: FastifyRequest,
  ): Promise<ClaimView> {
    return this.throttle.guardedSecret(request, () => this.claims.claim(input, request.ip));
  }
}
