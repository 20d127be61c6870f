import {
  Body,
  Controller,
  HttpCode,
  Inject,
  Injectable,
  Post,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { isInternalKey } from '#process';
import { Failure } from '../failure.js';
import { Open } from '../http/requires.decorator.js';
import { SECRET_KEY } from '../injection-tokens.js';
import {
  brokersClaim,
  newRegistration,
  newRenewal,
  type BrokersClaimInput,
  type ClaimView,
  type NewRegistrationInput,
  type NewRenewalInput,
  type registrationView,
} from './claim.schema.js';
import { ClaimService } from './claim.service.js';
import { RegistrationService } from './registration.service.js';

/** Only processes of this installation: they alone can make the key. */
@Injectable()
export class InternalGuard implements CanActivate {
  constructor(@Inject(SECRET_KEY) private readonly secretKey: Buffer) {}

  canActivate(context: ExecutionContext): boolean {
    const { authorization } = context.switchToHttp().getRequest<FastifyRequest>().headers;
    const shown = /^Bearer ([\w-]+)$/.exec(authorization ?? '')?.[1];
    if (isInternalKey(this.secretKey, shown)) return true;
    throw new Failure('not-found', 'There is nothing here that this key may see.');
  }
}

/**
 * What the broker asks for on behalf of devices. It reads rights and cannot write them; whatever makes a device or signs a
 * certificate happens here, under the same rules as for everybody. The broker has slowed down whoever guesses.
 */
@Controller('internal')
@ApiExcludeController()
@UseGuards(InternalGuard)
export class InternalController {
  constructor(
    @Inject(ClaimService) private readonly claims: ClaimService,
    @Inject(RegistrationService) private readonly registrations: RegistrationService,
  ) {}

  @Post('claims')
  @Open()
  @HttpCode(200)
  async claim(@Body({ schema: brokersClaim }) input: BrokersClaimInput): Promise<ClaimView> {
    const { address, ...claim } = input;
    return this.claims.claim(claim, address);
  }

  @Post('renewals')
  @Open()
  @HttpCode(200)
  async renew(@Body({ schema: newRenewal }) input: NewRenewalInput): Promise<ClaimView> {
    return this.claims.renew(input);
  }

  @Post('registrations')
  @Open()
  @HttpCode(200)
  async register(
    @Body({ schema: newRegistration }) input: NewRegistrationInput,
  ): Promise<z.input<typeof registrationView>> {
    const why = await this.registrations.register(input);
    return { registered: why === undefined, why: why ?? null };
  }
}
