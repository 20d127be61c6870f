import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import type { Logger, ReadinessReport } from '#process';
import type { ControlStore } from '#store';
import { HealthController } from './health/health.controller.js';
import { AccessGuard } from './http/access.guard.js';
import { AccessDesk } from './http/access.js';
import { ErrorFilter } from './http/error.filter.js';
import { IdempotencyInterceptor } from './http/idempotency.interceptor.js';
import { Cursors } from './http/paging.js';
import { SchemaPipe } from './http/schema.pipe.js';
import { SignInThrottle } from './http/throttle.js';
import { UnusedInputInterceptor } from './http/unused-input.interceptor.js';
import { UploadInterceptor } from './http/upload.interceptor.js';
import { LOGGER, READINESS, SECRET_KEY, STORE } from './tokens.js';

export interface ApiParts {
  readonly store: ControlStore;
  readonly secretKey: Buffer;
  readonly log: Logger;
  readonly readiness: () => Promise<ReadinessReport>;
}

/** The composition root: what comes from outside, the edge every request passes, and one line a resource. */
@Module({})
export class ApiModule {
  static with({ store, secretKey, log, readiness }: ApiParts): DynamicModule {
    return {
      module: ApiModule,
      controllers: [HealthController],
      providers: [
        { provide: STORE, useValue: store },
        { provide: SECRET_KEY, useValue: secretKey },
        { provide: LOGGER, useValue: log },
        { provide: READINESS, useValue: readiness },
        AccessDesk,
        Cursors,
        SignInThrottle,
        { provide: APP_FILTER, useClass: ErrorFilter },
        { provide: APP_GUARD, useClass: AccessGuard },
        // In this order: what is read, what is refused unread, what has been answered before.
        { provide: APP_INTERCEPTOR, useClass: UploadInterceptor },
        { provide: APP_INTERCEPTOR, useClass: UnusedInputInterceptor },
        { provide: APP_INTERCEPTOR, useClass: IdempotencyInterceptor },
        { provide: APP_PIPE, useClass: SchemaPipe },
      ],
    };
  }
}
