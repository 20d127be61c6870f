-- How much is kept of a tenant's requests is counted, and with the tenant they go.
CREATE INDEX "idempotency_keys_tenant_id_idx" ON "idempotency_keys"("tenant_id");
