-- Every presence event of a device has its number, and says whether it changed anything: one that came late is history only.

ALTER TABLE "presence" ADD COLUMN "sequence" BIGINT NOT NULL DEFAULT 0;
ALTER TABLE "presence_events"
  ADD COLUMN "sequence" BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN "applied" BOOLEAN NOT NULL DEFAULT true;

CREATE TABLE "device_presence" (
  "tenant_id" UUID NOT NULL,
  "device_id" UUID NOT NULL,
  "sequence" BIGINT NOT NULL,

  CONSTRAINT "device_presence_pkey" PRIMARY KEY ("tenant_id", "device_id")
);

ALTER TABLE device_presence ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT SELECT, DELETE ON device_presence TO moorage_app;
CREATE POLICY app_tenant ON device_presence TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON device_presence TO moorage_broker;
CREATE POLICY broker_own ON device_presence TO moorage_broker USING (true);

-- One row a device, written at every coming and going.
ALTER TABLE device_presence SET (fillfactor = 70);
