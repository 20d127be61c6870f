-- From where clients may come, who is banned, which rules are used, and what devices do.

ALTER TABLE "tenants"
  ADD COLUMN "addresses" JSONB NOT NULL DEFAULT '{}',
  ADD CONSTRAINT tenants_addresses_object CHECK (jsonb_typeof(addresses) = 'object');
ALTER TABLE "devices"
  ADD COLUMN "addresses" JSONB NOT NULL DEFAULT '{}',
  ADD CONSTRAINT devices_addresses_object CHECK (jsonb_typeof(addresses) = 'object');

CREATE TABLE "bans" (
    "id" UUID NOT NULL DEFAULT uuidv7(),
    "tenant_id" UUID,
    "kind" TEXT NOT NULL,
    "value" TEXT NOT NULL,
    "range" INET,
    "reason" TEXT NOT NULL DEFAULT '',
    "expires_at" TIMESTAMPTZ(3),
    "created_by" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "bans_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "bans_tenant_id_fkey" FOREIGN KEY ("tenant_id")
      REFERENCES "tenants"("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT bans_kind_known CHECK (kind IN ('client-id', 'username', 'address')),
    CONSTRAINT bans_value_size CHECK (octet_length(value) BETWEEN 1 AND 1024),
    CONSTRAINT bans_reason_size CHECK (char_length(reason) <= 500),
    CONSTRAINT bans_address_has_range CHECK ((kind = 'address') = (range IS NOT NULL))
);

-- Those of the platform, which are of no tenant, are once each too.
CREATE UNIQUE INDEX "bans_tenant_id_kind_value_key" ON "bans"("tenant_id", "kind", "value") NULLS NOT DISTINCT;
CREATE INDEX "bans_tenant_id_id_idx" ON "bans"("tenant_id", "id");
-- Which ranges hold an address: a handful of look-ups, however many bans there are.
CREATE INDEX "bans_range_idx" ON "bans" USING GIST ("range" inet_ops);

-- When a rule last decided that something is allowed: unused grants are found by what is missing here.
CREATE TABLE "rule_uses" (
    "tenant_id" UUID NOT NULL,
    "policy_id" UUID NOT NULL,
    "version" INTEGER NOT NULL,
    "rule" INTEGER NOT NULL,
    "last_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "rule_uses_pkey" PRIMARY KEY ("tenant_id", "policy_id", "version", "rule")
);

-- What devices were allowed to do, by topic: what policies are suggested from, and changes of policies are tried on.
CREATE TABLE "observed_topics" (
    "tenant_id" UUID NOT NULL,
    "device_id" UUID NOT NULL,
    "action" TEXT NOT NULL,
    "topic" TEXT NOT NULL,
    "client_id" TEXT NOT NULL,
    "username" TEXT NOT NULL,
    "first_at" TIMESTAMPTZ(3) NOT NULL,
    "last_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "observed_topics_pkey" PRIMARY KEY ("tenant_id", "device_id", "action", "topic"),
    CONSTRAINT observed_topics_action_known CHECK (action IN ('publish', 'retain', 'subscribe'))
);
CREATE INDEX "observed_topics_tenant_id_last_at_idx" ON "observed_topics"("tenant_id", "last_at");

-- ---------------------------------------------------------------------------------------------------------------- fences

ALTER TABLE bans ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE rule_uses ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE observed_topics ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

GRANT SELECT, INSERT, DELETE ON bans TO moorage_app;
CREATE POLICY app_tenant_or_platform ON bans TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid OR current_setting('app.scope', true) = 'platform');
GRANT SELECT, DELETE ON rule_uses TO moorage_app;
CREATE POLICY app_tenant ON rule_uses TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON observed_topics TO moorage_app;
CREATE POLICY app_tenant ON observed_topics TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

-- The platform's own changes are recorded, and their receipts read, in its own scope.
DROP POLICY app_tenant ON changes;
CREATE POLICY app_tenant_or_platform ON changes TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid OR current_setting('app.scope', true) = 'platform');
DROP POLICY app_tenant ON change_receipts;
CREATE POLICY app_tenant_or_platform ON change_receipts TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid OR current_setting('app.scope', true) = 'platform');

GRANT SELECT ON bans TO moorage_broker;
CREATE POLICY broker_read ON bans FOR SELECT TO moorage_broker USING (true);
GRANT SELECT, INSERT, UPDATE ON rule_uses TO moorage_broker;
CREATE POLICY broker_own ON rule_uses TO moorage_broker USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON observed_topics TO moorage_broker;
CREATE POLICY broker_own ON observed_topics TO moorage_broker USING (true);
