-- Certificates that the platform issues, devices that make themselves known, and host names of tenants.

CREATE TABLE "tenant_hosts" (
    "tenant_id" UUID NOT NULL,
    "host" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "tenant_hosts_pkey" PRIMARY KEY ("tenant_id","host"),
    CONSTRAINT "tenant_hosts_tenant_id_fkey" FOREIGN KEY ("tenant_id")
      REFERENCES "tenants"("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT tenant_hosts_form CHECK (host = lower(host) AND char_length(host) BETWEEN 1 AND 253)
);
-- Across tenants: a host name names one.
CREATE UNIQUE INDEX "tenant_hosts_host_key" ON "tenant_hosts"("host");

CREATE TABLE "issuing_authorities" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "sealed_key" BYTEA NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'active',
    "certificate_days" INTEGER NOT NULL DEFAULT 90,
    "max_certificate_days" INTEGER NOT NULL DEFAULT 397,
    "crl_number" BIGINT NOT NULL DEFAULT 0,
    "version" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "issuing_authorities_pkey" PRIMARY KEY ("tenant_id","id"),
    CONSTRAINT "issuing_authorities_tenant_id_id_fkey" FOREIGN KEY ("tenant_id", "id")
      REFERENCES "trust_anchors"("tenant_id", "id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT issuing_authorities_status_known CHECK (status IN ('active', 'retired')),
    CONSTRAINT issuing_authorities_days_range CHECK (
      certificate_days BETWEEN 1 AND max_certificate_days AND max_certificate_days <= 3650)
);

CREATE TABLE "issued_certificates" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL DEFAULT uuidv7(),
    "authority_id" UUID NOT NULL,
    "device_id" UUID NOT NULL,
    "credential_id" UUID NOT NULL,
    "serial" TEXT NOT NULL,
    "fingerprint" BYTEA NOT NULL,
    "spki_hash" BYTEA NOT NULL,
    "certificate" BYTEA NOT NULL,
    "not_before" TIMESTAMPTZ(3) NOT NULL,
    "not_after" TIMESTAMPTZ(3) NOT NULL,
    "revoked_at" TIMESTAMPTZ(3),
    "revocation_reason" TEXT,
    "issued_by" TEXT NOT NULL,
    "claim_token_id" UUID,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "issued_certificates_pkey" PRIMARY KEY ("tenant_id","id"),
    CONSTRAINT "issued_certificates_tenant_id_authority_id_fkey" FOREIGN KEY ("tenant_id", "authority_id")
      REFERENCES "issuing_authorities"("tenant_id", "id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT issued_certificates_hash_sizes CHECK (octet_length(fingerprint) = 32 AND octet_length(spki_hash) = 32),
    CONSTRAINT issued_certificates_size CHECK (octet_length(certificate) <= 16384),
    CONSTRAINT issued_certificates_revoked_whole CHECK ((revoked_at IS NULL) = (revocation_reason IS NULL))
);
CREATE UNIQUE INDEX "issued_certificates_tenant_id_authority_id_serial_key"
  ON "issued_certificates"("tenant_id", "authority_id", "serial");
CREATE INDEX "issued_certificates_tenant_id_device_id_idx" ON "issued_certificates"("tenant_id", "device_id");
CREATE INDEX "issued_certificates_tenant_id_credential_id_idx" ON "issued_certificates"("tenant_id", "credential_id");
CREATE INDEX "issued_certificates_tenant_id_claim_token_id_spki_hash_idx"
  ON "issued_certificates"("tenant_id", "claim_token_id", "spki_hash");

CREATE TABLE "claim_tokens" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL DEFAULT uuidv7(),
    "name" TEXT NOT NULL,
    "token_hash" BYTEA NOT NULL,
    "profile_id" UUID NOT NULL,
    "name_template" TEXT NOT NULL,
    "name_pattern" TEXT NOT NULL,
    "max_uses" INTEGER NOT NULL,
    "uses" INTEGER NOT NULL DEFAULT 0,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "revoked_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "claim_tokens_pkey" PRIMARY KEY ("tenant_id","id"),
    CONSTRAINT "claim_tokens_tenant_id_profile_id_fkey" FOREIGN KEY ("tenant_id", "profile_id")
      REFERENCES "profiles"("tenant_id", "id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT claim_tokens_uses_range CHECK (uses BETWEEN 0 AND max_uses AND max_uses >= 1)
);
CREATE UNIQUE INDEX "claim_tokens_tenant_id_name_key" ON "claim_tokens"("tenant_id", "name");
CREATE INDEX "claim_tokens_tenant_id_profile_id_idx" ON "claim_tokens"("tenant_id", "profile_id");

CREATE TABLE "provisioning_rules" (
    "tenant_id" UUID NOT NULL,
    "anchor_id" UUID NOT NULL,
    "enabled" BOOLEAN NOT NULL,
    "profile_id" UUID NOT NULL,
    "name_template" TEXT NOT NULL,
    "name_pattern" TEXT NOT NULL,
    "max_devices" INTEGER NOT NULL,
    "per_minute" INTEGER NOT NULL,
    "window_start" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "window_count" INTEGER NOT NULL DEFAULT 0,
    "version" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "provisioning_rules_pkey" PRIMARY KEY ("tenant_id","anchor_id"),
    CONSTRAINT "provisioning_rules_tenant_id_anchor_id_fkey" FOREIGN KEY ("tenant_id", "anchor_id")
      REFERENCES "trust_anchors"("tenant_id", "id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "provisioning_rules_tenant_id_profile_id_fkey" FOREIGN KEY ("tenant_id", "profile_id")
      REFERENCES "profiles"("tenant_id", "id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT provisioning_rules_limits CHECK (max_devices >= 0 AND per_minute >= 0)
);
CREATE INDEX "provisioning_rules_tenant_id_profile_id_idx" ON "provisioning_rules"("tenant_id", "profile_id");

CREATE TABLE "registrations" (
    "tenant_id" UUID NOT NULL,
    "anchor_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "device_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "registrations_pkey" PRIMARY KEY ("tenant_id","anchor_id","name"),
    CONSTRAINT "registrations_tenant_id_anchor_id_fkey" FOREIGN KEY ("tenant_id", "anchor_id")
      REFERENCES "provisioning_rules"("tenant_id", "anchor_id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- A certificate that is issued here is pinned, and needs the path to its authority besides: it goes with either.
ALTER TABLE "credentials" DROP CONSTRAINT credentials_pinned_or_anchored;

-- ---------------------------------------------------------------------------------------------------------------- fences

ALTER TABLE tenant_hosts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE issuing_authorities ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE issued_certificates ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE claim_tokens ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE provisioning_rules ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE registrations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- The platform gives host names to tenants; a tenant sees its own.
GRANT SELECT, INSERT, DELETE ON tenant_hosts TO moorage_app;
CREATE POLICY app_tenant ON tenant_hosts TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

GRANT SELECT, INSERT, UPDATE, DELETE ON issuing_authorities TO moorage_app;
CREATE POLICY app_tenant ON issuing_authorities TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON issued_certificates TO moorage_app;
CREATE POLICY app_tenant ON issued_certificates TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON claim_tokens TO moorage_app;
CREATE POLICY app_tenant ON claim_tokens TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON provisioning_rules TO moorage_app;
CREATE POLICY app_tenant ON provisioning_rules TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON registrations TO moorage_app;
CREATE POLICY app_tenant ON registrations TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

-- The broker never sees a key. Of provisioning it learns that there is a rule, and asks the api.
GRANT SELECT ON tenant_hosts TO moorage_broker;
CREATE POLICY broker_read ON tenant_hosts FOR SELECT TO moorage_broker USING (true);
GRANT SELECT (tenant_id, anchor_id, enabled) ON provisioning_rules TO moorage_broker;
CREATE POLICY broker_read ON provisioning_rules FOR SELECT TO moorage_broker USING (true);
