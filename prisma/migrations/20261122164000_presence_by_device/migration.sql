-- A client's presence is found by the primary key (tenant_id, client_id) and by nothing else. An index that begins with the tenant too
-- looked as good to a plan that was made while the table was small, and went through all of a tenant's clients for each that came or went:
-- of a tenant with 18 000 clients, 4 000 rows for each, 750 µs of PostgreSQL instead of 240.

DROP INDEX "presence_tenant_id_device_id_idx";
CREATE INDEX "presence_device_id_tenant_id_idx" ON "presence"("device_id", "tenant_id");
