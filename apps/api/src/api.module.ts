import { Module, type DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import type { Egress, Logger, ReadinessReport } from '#process';
import type { ControlStore } from '#store';
import { AddressRangesController } from './address-ranges/address-ranges.controller.js';
import { AddressRangesResolver } from './address-ranges/address-ranges.resolver.js';
import { ApiKeyController, PlatformApiKeyController } from './api-keys/api-key.controller.js';
import { ApiKeyResolver } from './api-keys/api-key.resolver.js';
import { ApiKeyService } from './api-keys/api-key.service.js';
import { AuditController, PlatformAuditController } from './audit/audit.controller.js';
import { AuditResolver } from './audit/audit.resolver.js';
import { AuditService } from './audit/audit.service.js';
import { BanController, PlatformBanController } from './bans/ban.controller.js';
import { BanResolver } from './bans/ban.resolver.js';
import { BanService } from './bans/ban.service.js';
import { AuthenticatorController } from './authenticators/authenticator.controller.js';
import { AuthenticatorResolver } from './authenticators/authenticator.resolver.js';
import { AuthenticatorService } from './authenticators/authenticator.service.js';
import { PastConnectionController } from './connections/past-connection.controller.js';
import { PastConnectionResolver } from './connections/past-connection.resolver.js';
import { PastConnectionService } from './connections/past-connection.service.js';
import { CredentialController } from './credentials/credential.controller.js';
import { CredentialResolver } from './credentials/credential.resolver.js';
import { CredentialService } from './credentials/credential.service.js';
import { RotationController } from './credentials/rotation.controller.js';
import { RotationResolver } from './credentials/rotation.resolver.js';
import { RotationService } from './credentials/rotation.service.js';
import { DenialController } from './denials/denial.controller.js';
import { DenialResolver } from './denials/denial.resolver.js';
import { DenialService } from './denials/denial.service.js';
import { BulkService } from './devices/bulk.service.js';
import { DeviceController } from './devices/device.controller.js';
import { DeviceResolver } from './devices/device.resolver.js';
import { DeviceService } from './devices/device.service.js';
import { GraphqlEndpoint } from './graphql/endpoint.js';
import { FieldGuard } from './graphql/field.guard.js';
import { graphqlModule } from './graphql/graphql.module.js';
import { GraphqlSubscriptions } from './graphql/subscriptions.js';
import { GroupController } from './groups/group.controller.js';
import { GroupResolver } from './groups/group.resolver.js';
import { GroupService } from './groups/group.service.js';
import { HealthController } from './health/health.controller.js';
import { HostNameController } from './host-names/host-name.controller.js';
import { HostNameResolver } from './host-names/host-name.resolver.js';
import { HostNameService } from './host-names/host-name.service.js';
import { AccessGuard } from './http/access.guard.js';
import { AccessDesk } from './http/access.js';
import { AnyVersionInterceptor } from './http/any-version.interceptor.js';
import { ErrorFilter } from './http/error.filter.js';
import { IdempotencyInterceptor } from './http/idempotency.interceptor.js';
import { KeptAnswers } from './http/kept-answers.js';
import { Cursors } from './http/paging.js';
import { SchemaPipe } from './http/schema.pipe.js';
import { SignInThrottle } from './http/throttle.js';
import { UnusedInputInterceptor } from './http/unused-input.interceptor.js';
import { UploadInterceptor } from './http/upload.interceptor.js';
import { DeviceCertificateController } from './issuing/device-certificate.controller.js';
import { DeviceCertificateResolver } from './issuing/device-certificate.resolver.js';
import { DeviceCertificateService } from './issuing/device-certificate.service.js';
import { Issuer } from './issuing/issuer.js';
import { IssuingAuthorityController } from './issuing/issuing-authority.controller.js';
import { IssuingAuthorityResolver } from './issuing/issuing-authority.resolver.js';
import { IssuingAuthorityService } from './issuing/issuing-authority.service.js';
import { LiveClientService } from './live-clients.js';
import { OperationController, PlatformOperationController } from './operations/operation.controller.js';
import { OperationResolver } from './operations/operation.resolver.js';
import { OperationService } from './operations/operation.service.js';
import { PolicyBindingController } from './policies/policy-binding.controller.js';
import { PolicyController } from './policies/policy.controller.js';
import { PolicyEvaluationService } from './policies/policy-evaluation.service.js';
import { PolicyInsightController } from './policies/policy-insight.controller.js';
import { PolicyInsightResolver } from './policies/policy-insight.resolver.js';
import { PolicyInsightService } from './policies/policy-insight.service.js';
import { PolicyResolver } from './policies/policy.resolver.js';
import { PolicyService } from './policies/policy.service.js';
import { PresenceController } from './presence/presence.controller.js';
import { PresenceResolver } from './presence/presence.resolver.js';
import { PresenceService } from './presence/presence.service.js';
import { ProfileController } from './profiles/profile.controller.js';
import { ProfileResolver } from './profiles/profile.resolver.js';
import { ProfileService } from './profiles/profile.service.js';
import { ClaimController } from './provisioning/claim.controller.js';
import { ClaimService, type Endpoints } from './provisioning/claim.service.js';
import { ClaimTokenController } from './provisioning/claim-token.controller.js';
import { ClaimTokenService } from './provisioning/claim-token.service.js';
import { InternalController, InternalGuard } from './provisioning/internal.controller.js';
import { ProvisioningResolver } from './provisioning/provisioning.resolver.js';
import { ProvisioningRuleController } from './provisioning/provisioning-rule.controller.js';
import { ProvisioningRuleService } from './provisioning/provisioning-rule.service.js';
import { RegistrationService } from './provisioning/registration.service.js';
import { RetainedController } from './retained/retained.controller.js';
import { RetainedResolver } from './retained/retained.resolver.js';
import { RetainedService } from './retained/retained.service.js';
import { SessionController } from './sessions/session.controller.js';
import { SessionResolver } from './sessions/session.resolver.js';
import { SessionService } from './sessions/session.service.js';
import { TelemetryController } from './telemetry/telemetry.controller.js';
import { TelemetryResolver } from './telemetry/telemetry.resolver.js';
import { TelemetryService } from './telemetry/telemetry.service.js';
import { TenantController } from './tenants/tenant.controller.js';
import { TenantResolver } from './tenants/tenant.resolver.js';
import { TenantService } from './tenants/tenant.service.js';
import { TokenIssuerController } from './token-issuers/token-issuer.controller.js';
import { TokenIssuerResolver } from './token-issuers/token-issuer.resolver.js';
import { TokenIssuerService } from './token-issuers/token-issuer.service.js';
import { TrustAnchorController } from './trust-anchors/trust-anchor.controller.js';
import { TrustAnchorResolver } from './trust-anchors/trust-anchor.resolver.js';
import { ListFetcher } from './trust-anchors/list-fetcher.js';
import { TrustAnchorService } from './trust-anchors/trust-anchor.service.js';
import { EGRESS, ENDPOINTS, LOGGER, READINESS, SECRET_KEY, STORE } from './injection-tokens.js';

export interface ApiParts {
  readonly store: ControlStore;
  readonly secretKey: Buffer;
  readonly log: Logger;
  readonly readiness: () => Promise<ReadinessReport>;
  readonly endpoints: Endpoints;
  readonly egress: Egress;
}

/** The composition root: what comes from outside, the edge every request passes, and one line a resource. */
@Module({})
export class ApiModule {
  static with({ store, secretKey, log, readiness, endpoints, egress }: ApiParts): DynamicModule {
    return {
      module: ApiModule,
      imports: [graphqlModule(log)],
      controllers: [
        HealthController,
        AddressRangesController,
        ApiKeyController,
        AuditController,
        PlatformAuditController,
        BanController,
        ClaimController,
        ClaimTokenController,
        AuthenticatorController,
        CredentialController,
        RotationController,
        TokenIssuerController,
        DenialController,
        DeviceCertificateController,
        DeviceController,
        GroupController,
        HostNameController,
        InternalController,
        IssuingAuthorityController,
        OperationController,
        PastConnectionController,
        PlatformApiKeyController,
        PlatformBanController,
        PlatformOperationController,
        PolicyBindingController,
        PolicyController,
        PolicyInsightController,
        PresenceController,
        ProfileController,
        ProvisioningRuleController,
        RetainedController,
        SessionController,
        TelemetryController,
        TenantController,
        TrustAnchorController,
      ],
      providers: [
        { provide: STORE, useValue: store },
        { provide: SECRET_KEY, useValue: secretKey },
        { provide: LOGGER, useValue: log },
        { provide: READINESS, useValue: readiness },
        { provide: ENDPOINTS, useValue: endpoints },
        { provide: EGRESS, useValue: egress },
        AccessDesk,
        Cursors,
        SignInThrottle,
        GraphqlEndpoint,
        GraphqlSubscriptions,
        PolicyService,
        PolicyEvaluationService,
        PolicyResolver,
        PastConnectionService,
        PastConnectionResolver,
        LiveClientService,
        PolicyInsightService,
        PolicyInsightResolver,
        TelemetryService,
        TelemetryResolver,
        PresenceService,
        PresenceResolver,
        RetainedService,
        RetainedResolver,
        SessionService,
        SessionResolver,
        DenialService,
        DenialResolver,
        AuditService,
        AuditResolver,
        AddressRangesResolver,
        ApiKeyService,
        ApiKeyResolver,
        BanService,
        BanResolver,
        AuthenticatorService,
        AuthenticatorResolver,
        CredentialService,
        CredentialResolver,
        RotationService,
        RotationResolver,
        TokenIssuerService,
        TokenIssuerResolver,
        DeviceService,
        BulkService,
        DeviceResolver,
        GroupService,
        GroupResolver,
        Issuer,
        IssuingAuthorityService,
        IssuingAuthorityResolver,
        DeviceCertificateService,
        DeviceCertificateResolver,
        ClaimService,
        ClaimTokenService,
        ProvisioningRuleService,
        ProvisioningResolver,
        RegistrationService,
        InternalGuard,
        HostNameService,
        HostNameResolver,
        OperationService,
        OperationResolver,
        ProfileService,
        ProfileResolver,
        TenantService,
        TenantResolver,
        TrustAnchorService,
        ListFetcher,
        TrustAnchorResolver,
        { provide: APP_FILTER, useClass: ErrorFilter },
        { provide: APP_GUARD, useClass: AccessGuard },
        { provide: APP_GUARD, useClass: FieldGuard },
        // In this order: what is read, what is refused unread, what has been answered before, what is tried again.
        { provide: APP_INTERCEPTOR, useClass: UploadInterceptor },
        { provide: APP_INTERCEPTOR, useClass: UnusedInputInterceptor },
        KeptAnswers,
        { provide: APP_INTERCEPTOR, useClass: IdempotencyInterceptor },
        { provide: APP_INTERCEPTOR, useClass: AnyVersionInterceptor },
        { provide: APP_PIPE, useClass: SchemaPipe },
      ],
    };
  }
}
