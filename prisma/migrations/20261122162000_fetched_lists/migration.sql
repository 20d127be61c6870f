-- Where authorities publish their revocation lists, and how fetching them went.

ALTER TABLE "trust_anchors"
  ADD COLUMN "crl_from_certificates" BOOLEAN NOT NULL DEFAULT false,
  ADD COLUMN "crl_refresh_s" INTEGER NOT NULL DEFAULT 3600,
  ADD COLUMN "crl_expected_at" TIMESTAMPTZ(3),
  ADD CONSTRAINT trust_anchors_refresh_range CHECK (crl_refresh_s BETWEEN 60 AND 604800);

CREATE TABLE "crl_sources" (
    "tenant_id" UUID NOT NULL,
    "anchor_id" UUID NOT NULL,
    "url" TEXT NOT NULL,
    "origin" TEXT NOT NULL,
    "due_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "tried_at" TIMESTAMPTZ(3),
    "fetched_at" TIMESTAMPTZ(3),
    "failures" INTEGER NOT NULL DEFAULT 0,
    "error" TEXT,
    "error_detail" TEXT,

    CONSTRAINT "crl_sources_pkey" PRIMARY KEY ("tenant_id","anchor_id","url"),
    CONSTRAINT "crl_sources_tenant_id_anchor_id_fkey" FOREIGN KEY ("tenant_id", "anchor_id")
      REFERENCES "trust_anchors"("tenant_id", "id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT crl_sources_url_size CHECK (char_length(url) BETWEEN 1 AND 2048),
    CONSTRAINT crl_sources_origin_known CHECK (origin IN ('named', 'certificate')),
    CONSTRAINT crl_sources_error_whole CHECK (num_nulls(error, error_detail) IN (0, 2))
);

-- Of all tenants: what is to be fetched next.
CREATE INDEX "crl_sources_due_at_idx" ON "crl_sources"("due_at");

-- ---------------------------------------------------------------------------------------------------------------- fences

ALTER TABLE crl_sources ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- The platform, which is the api's own clockwork, finds out whose turn it is; what it fetches it takes in the tenant's name.
GRANT SELECT, INSERT, UPDATE, DELETE ON crl_sources TO moorage_app;
CREATE POLICY app_tenant_or_platform ON crl_sources TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid OR current_setting('app.scope', true) = 'platform');

-- A broker sees certificates, and notes where they say their authority's list is. It changes and removes nothing.
GRANT SELECT (tenant_id, anchor_id, url), INSERT (tenant_id, anchor_id, url, origin) ON crl_sources TO moorage_broker;
CREATE POLICY broker_read ON crl_sources FOR SELECT TO moorage_broker USING (true);
CREATE POLICY broker_note ON crl_sources FOR INSERT TO moorage_broker WITH CHECK (true);
