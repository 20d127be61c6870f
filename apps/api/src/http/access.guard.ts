import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { Failure } from '../failure.js';
import { AccessDesk } from './access.js';
import { openRoute, requiredPermission } from './requires.decorator.js';
import { SignInThrottle } from './throttle.js';

/** Every REST route passes here; one that says neither @Requires nor @Open is closed to everybody. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    @Inject(Reflector) private readonly reflector: Reflector,
    @Inject(AccessDesk) private readonly desk: AccessDesk,
    @Inject(SignInThrottle) private readonly throttle: SignInThrottle,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (context.getType() !== 'http') return true; // GraphQL asks per field, see its own guard
    if (this.reflector.get(openRoute, context.getHandler()) === true) return true;
    const permission = this.reflector.get(requiredPermission, context.getHandler());
    if (permission === undefined) throw new Failure('forbidden', 'This route is not offered.');
    const request = context.switchToHttp().getRequest<FastifyRequest<{ Params: { tenant?: string } }>>();
    const { authorization } = request.headers;
    request.access = await this.throttle.guarded(request, authorization, (whose) =>
      this.desk.admit(authorization, request.params.tenant, permission, whose),
    );
    return true;
  }
}
