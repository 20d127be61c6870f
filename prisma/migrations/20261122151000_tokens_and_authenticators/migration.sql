-- Passwords that people choose, tokens, and authenticators that tenants run themselves; which credential took another's place.

ALTER TABLE "credentials"
  ADD COLUMN "password_hash" TEXT,
  ADD COLUMN "public_key" JSONB,
  ADD COLUMN "issuer_id" UUID,
  ADD COLUMN "replaces_id" UUID;

CREATE TABLE "token_issuers" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL DEFAULT uuidv7(),
    "name" TEXT NOT NULL,
    "issuer" TEXT NOT NULL,
    "audiences" TEXT[] NOT NULL,
    "algorithms" TEXT[] NOT NULL,
    "jwks_uri" TEXT,
    "jwks" JSONB,
    "identity" JSONB NOT NULL,
    "leeway_s" INTEGER NOT NULL DEFAULT 60,
    "max_lifetime_s" INTEGER NOT NULL DEFAULT 86400,
    "disabled_at" TIMESTAMPTZ(3),
    "version" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "token_issuers_pkey" PRIMARY KEY ("tenant_id","id"),
    CONSTRAINT "token_issuers_tenant_id_fkey" FOREIGN KEY ("tenant_id")
      REFERENCES "tenants"("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT token_issuers_name_size CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT token_issuers_issuer_size CHECK (char_length(issuer) BETWEEN 1 AND 500),
    CONSTRAINT token_issuers_audiences_some CHECK (cardinality(audiences) BETWEEN 1 AND 10),
    CONSTRAINT token_issuers_algorithms_some CHECK (cardinality(algorithms) BETWEEN 1 AND 10),
    CONSTRAINT token_issuers_one_source CHECK (num_nonnulls(jwks_uri, jwks) = 1),
    CONSTRAINT token_issuers_identity_object CHECK (jsonb_typeof(identity) = 'object'),
    CONSTRAINT token_issuers_leeway_range CHECK (leeway_s BETWEEN 0 AND 300),
    CONSTRAINT token_issuers_lifetime_range CHECK (max_lifetime_s BETWEEN 60 AND 31536000)
);

-- One a tenant: two would have to be asked in an order that nobody sees.
CREATE TABLE "authenticators" (
    "tenant_id" UUID NOT NULL,
    "url" TEXT NOT NULL,
    "sealed_secret" BYTEA NOT NULL,
    "timeout_ms" INTEGER NOT NULL DEFAULT 3000,
    "max_concurrent" INTEGER NOT NULL DEFAULT 32,
    "enabled" BOOLEAN NOT NULL DEFAULT true,
    "version" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "authenticators_pkey" PRIMARY KEY ("tenant_id"),
    CONSTRAINT "authenticators_tenant_id_fkey" FOREIGN KEY ("tenant_id")
      REFERENCES "tenants"("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT authenticators_url_size CHECK (char_length(url) BETWEEN 1 AND 2048),
    CONSTRAINT authenticators_timeout_range CHECK (timeout_ms BETWEEN 100 AND 5000),
    CONSTRAINT authenticators_concurrency_range CHECK (max_concurrent BETWEEN 1 AND 64)
);

CREATE UNIQUE INDEX "token_issuers_tenant_id_name_key" ON "token_issuers"("tenant_id", "name");
CREATE UNIQUE INDEX "token_issuers_tenant_id_issuer_key" ON "token_issuers"("tenant_id", "issuer");
CREATE INDEX "credentials_tenant_id_issuer_id_idx" ON "credentials"("tenant_id", "issuer_id");

-- A credential that demands an issuer goes with it: without, it would be one that demands none.
ALTER TABLE "credentials"
  ADD CONSTRAINT "credentials_tenant_id_issuer_id_fkey" FOREIGN KEY ("tenant_id", "issuer_id")
    REFERENCES "token_issuers"("tenant_id", "id") ON DELETE CASCADE ON UPDATE CASCADE,
  DROP CONSTRAINT credentials_kind_known,
  DROP CONSTRAINT credentials_password_whole,
  ADD CONSTRAINT credentials_kind_known CHECK (kind IN ('password', 'certificate', 'token', 'external')),
  ADD CONSTRAINT credentials_password_whole CHECK (
    num_nonnulls(secret_hash, password_hash) = CASE kind WHEN 'password' THEN 1 ELSE 0 END),
  ADD CONSTRAINT credentials_token_alone CHECK (kind = 'token' OR num_nonnulls(public_key, issuer_id) = 0),
  ADD CONSTRAINT credentials_token_by_one CHECK (num_nonnulls(public_key, issuer_id) <= 1),
  ADD CONSTRAINT credentials_password_hash_size CHECK (char_length(password_hash) <= 300);

-- ---------------------------------------------------------------------------------------------------------------- fences

ALTER TABLE token_issuers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE authenticators ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

GRANT SELECT, INSERT, UPDATE, DELETE ON token_issuers TO moorage_app;
CREATE POLICY app_tenant ON token_issuers TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON authenticators TO moorage_app;
CREATE POLICY app_tenant ON authenticators TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

GRANT SELECT ON token_issuers TO moorage_broker;
CREATE POLICY broker_read ON token_issuers FOR SELECT TO moorage_broker USING (true);
GRANT SELECT ON authenticators TO moorage_broker;
CREATE POLICY broker_read ON authenticators FOR SELECT TO moorage_broker USING (true);
