-- Trust anchors of tenants, what they have revoked, and credentials that are certificates.

ALTER TABLE "credentials"
  ADD COLUMN "anchor_id" UUID,
  ADD COLUMN "fingerprint" BYTEA,
  ALTER COLUMN "secret_hash" DROP NOT NULL;

CREATE TABLE "trust_anchors" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL DEFAULT uuidv7(),
    "name" TEXT NOT NULL,
    "certificate" BYTEA NOT NULL,
    "subject" TEXT NOT NULL,
    "fingerprint" BYTEA NOT NULL,
    "spki_hash" BYTEA NOT NULL,
    "key_id" BYTEA NOT NULL,
    "subject_hash" BYTEA NOT NULL,
    "not_before" TIMESTAMPTZ(3) NOT NULL,
    "not_after" TIMESTAMPTZ(3) NOT NULL,
    "identity" JSONB NOT NULL,
    "challenge" TEXT NOT NULL,
    "proven_at" TIMESTAMPTZ(3),
    "crl_when_stale" TEXT NOT NULL DEFAULT 'refuse',
    "crl_grace_s" INTEGER NOT NULL DEFAULT 86400,
    "crl_number" TEXT,
    "crl_this_update" TIMESTAMPTZ(3),
    "crl_next_update" TIMESTAMPTZ(3),
    "crl_entries" INTEGER NOT NULL DEFAULT 0,
    "version" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "trust_anchors_pkey" PRIMARY KEY ("tenant_id","id"),
    CONSTRAINT "trust_anchors_tenant_id_fkey" FOREIGN KEY ("tenant_id")
      REFERENCES "tenants"("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT trust_anchors_name_size CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT trust_anchors_certificate_size CHECK (octet_length(certificate) <= 16384),
    CONSTRAINT trust_anchors_hash_sizes CHECK (
      octet_length(fingerprint) = 32 AND octet_length(spki_hash) = 32 AND octet_length(subject_hash) = 32),
    CONSTRAINT trust_anchors_identity_object CHECK (jsonb_typeof(identity) = 'object'),
    CONSTRAINT trust_anchors_stale_known CHECK (crl_when_stale IN ('refuse', 'grace', 'ignore')),
    CONSTRAINT trust_anchors_grace_range CHECK (crl_grace_s BETWEEN 0 AND 31536000),
    CONSTRAINT trust_anchors_crl_whole CHECK (num_nulls(crl_number, crl_this_update, crl_next_update) IN (0, 3))
);

CREATE TABLE "revoked_certificates" (
    "tenant_id" UUID NOT NULL,
    "anchor_id" UUID NOT NULL,
    "serial" TEXT NOT NULL,

    CONSTRAINT "revoked_certificates_pkey" PRIMARY KEY ("tenant_id","anchor_id","serial"),
    CONSTRAINT "revoked_certificates_tenant_id_anchor_id_fkey" FOREIGN KEY ("tenant_id", "anchor_id")
      REFERENCES "trust_anchors"("tenant_id", "id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- Not by tenant: it is the anchor that names the tenant of a client that comes with a certificate alone.
CREATE INDEX "trust_anchors_spki_hash_idx" ON "trust_anchors"("spki_hash");
CREATE INDEX "trust_anchors_key_id_idx" ON "trust_anchors"("key_id");
CREATE INDEX "trust_anchors_subject_hash_idx" ON "trust_anchors"("subject_hash");
CREATE UNIQUE INDEX "trust_anchors_tenant_id_name_key" ON "trust_anchors"("tenant_id", "name");
-- One anchor a key: a revocation list speaks for the key, and must not be got round by a second certificate of it.
CREATE UNIQUE INDEX "trust_anchors_tenant_id_spki_hash_key" ON "trust_anchors"("tenant_id", "spki_hash");
CREATE INDEX "credentials_tenant_id_anchor_id_idx" ON "credentials"("tenant_id", "anchor_id");
CREATE UNIQUE INDEX "credentials_tenant_id_fingerprint_key" ON "credentials"("tenant_id", "fingerprint");

-- A credential that demands an anchor goes with it: without, it would be one that demands none.
ALTER TABLE "credentials"
  ADD CONSTRAINT "credentials_tenant_id_anchor_id_fkey" FOREIGN KEY ("tenant_id", "anchor_id")
    REFERENCES "trust_anchors"("tenant_id", "id") ON DELETE CASCADE ON UPDATE CASCADE,
  DROP CONSTRAINT credentials_kind_known,
  ADD CONSTRAINT credentials_kind_known CHECK (kind IN ('password', 'certificate')),
  ADD CONSTRAINT credentials_password_whole CHECK ((kind = 'password') = (secret_hash IS NOT NULL)),
  ADD CONSTRAINT credentials_certificate_alone CHECK (
    kind = 'certificate' OR num_nonnulls(fingerprint, anchor_id) = 0),
  ADD CONSTRAINT credentials_pinned_or_anchored CHECK (num_nonnulls(fingerprint, anchor_id) <= 1),
  ADD CONSTRAINT credentials_fingerprint_size CHECK (octet_length(fingerprint) = 32);

ALTER TABLE "changes"
  DROP CONSTRAINT changes_kind_known,
  ADD CONSTRAINT changes_kind_known CHECK (
    kind IN ('tenant', 'profile', 'group', 'device', 'credential', 'trust-anchor', 'policy', 'session'));

-- ---------------------------------------------------------------------------------------------------------------- fences

ALTER TABLE trust_anchors ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE revoked_certificates ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

GRANT SELECT, INSERT, UPDATE, DELETE ON trust_anchors TO moorage_app;
CREATE POLICY app_tenant ON trust_anchors TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON revoked_certificates TO moorage_app;
CREATE POLICY app_tenant ON revoked_certificates TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

GRANT SELECT ON trust_anchors TO moorage_broker;
CREATE POLICY broker_read ON trust_anchors FOR SELECT TO moorage_broker USING (true);
GRANT SELECT ON revoked_certificates TO moorage_broker;
CREATE POLICY broker_read ON revoked_certificates FOR SELECT TO moorage_broker USING (true);
