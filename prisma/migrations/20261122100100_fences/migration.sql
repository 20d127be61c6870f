-- What schema.prisma cannot say: roles, grants, row-level security, closed lists and sizes, and the numbering of changes.

-- ------------------------------------------------------------------------------------------------------------------------ roles

-- Moorage's own runner has made the roles, with passwords, before it comes here. Under `prisma migrate deploy` they are made
-- here, unable to log in, and the database's administrator gives them their passwords.
DO $$
DECLARE role text;
BEGIN
  FOREACH role IN ARRAY ARRAY['moorage_app', 'moorage_broker'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', role);
    END IF;
    IF NOT has_schema_privilege(role, 'public', 'USAGE') THEN
      EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
    END IF;
  END LOOP;
END
$$;

-- Functions are for those they are granted to.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- ---------------------------------------------------------------------------------------------------- row-level security, forced on every table

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE profiles ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE devices ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE groups ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE group_members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE credentials ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE policies ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE policy_versions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE policy_bindings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE changes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE change_receipts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE broker_processes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_entries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE telemetry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE presence ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE presence_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE denials ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE subscriptions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE queued_messages ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE queue_entries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE inbound_packets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE retained_messages ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE wills ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- ---------------------------------------------------------------------------------------------------- the api: one tenant at a time

-- A tenant's transaction sees the tenant's rows, by whatever statement; which statements there may be is said by the grants.
-- nullif: after a transaction the setting is an empty string on a pooled connection, not null, and ''::uuid is an error.

GRANT SELECT, INSERT, UPDATE, DELETE ON profiles TO moorage_app;
CREATE POLICY app_tenant ON profiles TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON devices TO moorage_app;
CREATE POLICY app_tenant ON devices TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON groups TO moorage_app;
CREATE POLICY app_tenant ON groups TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON group_members TO moorage_app;
CREATE POLICY app_tenant ON group_members TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON credentials TO moorage_app;
CREATE POLICY app_tenant ON credentials TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON policies TO moorage_app;
CREATE POLICY app_tenant ON policies TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT ON policy_versions TO moorage_app;
CREATE POLICY app_tenant ON policy_versions TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON policy_bindings TO moorage_app;
CREATE POLICY app_tenant ON policy_bindings TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON changes TO moorage_app;
CREATE POLICY app_tenant ON changes TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON change_receipts TO moorage_app;
CREATE POLICY app_tenant ON change_receipts TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON telemetry TO moorage_app;
CREATE POLICY app_tenant ON telemetry TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON presence TO moorage_app;
CREATE POLICY app_tenant ON presence TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON presence_events TO moorage_app;
CREATE POLICY app_tenant ON presence_events TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON denials TO moorage_app;
CREATE POLICY app_tenant ON denials TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON sessions TO moorage_app;
CREATE POLICY app_tenant ON sessions TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON subscriptions TO moorage_app;
CREATE POLICY app_tenant ON subscriptions TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON queued_messages TO moorage_app;
CREATE POLICY app_tenant ON queued_messages TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON queue_entries TO moorage_app;
CREATE POLICY app_tenant ON queue_entries TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON inbound_packets TO moorage_app;
CREATE POLICY app_tenant ON inbound_packets TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON retained_messages TO moorage_app;
CREATE POLICY app_tenant ON retained_messages TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON wills TO moorage_app;
CREATE POLICY app_tenant ON wills TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

-- ---------------------------------------------------------------------------------------------------- the api: the platform

-- Only what somebody must see or write before, above or after a tenant: keys at sign-in, the list of tenants, replayed requests, the
-- audit. A tenant sees its own row of tenants; only the platform changes it.

GRANT SELECT, INSERT, UPDATE, DELETE ON tenants TO moorage_app;
CREATE POLICY app_read ON tenants FOR SELECT TO moorage_app
  USING (id = nullif(current_setting('app.tenant_id', true), '')::uuid OR current_setting('app.scope', true) = 'platform');
CREATE POLICY app_create ON tenants FOR INSERT TO moorage_app WITH CHECK (current_setting('app.scope', true) = 'platform');
CREATE POLICY app_change ON tenants FOR UPDATE TO moorage_app USING (current_setting('app.scope', true) = 'platform');
CREATE POLICY app_end ON tenants FOR DELETE TO moorage_app USING (current_setting('app.scope', true) = 'platform');

GRANT SELECT, INSERT, UPDATE, DELETE ON api_keys TO moorage_app;
CREATE POLICY app_tenant_or_platform ON api_keys TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid OR current_setting('app.scope', true) = 'platform');
GRANT SELECT, INSERT ON audit_entries TO moorage_app;
CREATE POLICY app_tenant_or_platform ON audit_entries TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid OR current_setting('app.scope', true) = 'platform');
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO moorage_app;
CREATE POLICY app_tenant_or_platform ON idempotency_keys TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid OR current_setting('app.scope', true) = 'platform');

-- No tenant's: which broker processes live, so that the api can say who has not yet applied a change.
GRANT SELECT ON broker_processes TO moorage_app;
CREATE POLICY app_read ON broker_processes FOR SELECT TO moorage_app USING (true);

-- ---------------------------------------------------------------------------------------------------- the broker: all tenants, few verbs

-- One broker process serves all tenants and commits for them together, so its fence is not the tenant but the table and the verb.
-- It reads rights and never writes them; it never sees a key of the api; it cannot read telemetry back.

GRANT SELECT ON tenants TO moorage_broker;
CREATE POLICY broker_read ON tenants FOR SELECT TO moorage_broker USING (true);
GRANT SELECT ON profiles TO moorage_broker;
CREATE POLICY broker_read ON profiles FOR SELECT TO moorage_broker USING (true);
GRANT SELECT ON devices TO moorage_broker;
CREATE POLICY broker_read ON devices FOR SELECT TO moorage_broker USING (true);
GRANT SELECT ON groups TO moorage_broker;
CREATE POLICY broker_read ON groups FOR SELECT TO moorage_broker USING (true);
GRANT SELECT ON group_members TO moorage_broker;
CREATE POLICY broker_read ON group_members FOR SELECT TO moorage_broker USING (true);
GRANT SELECT ON credentials TO moorage_broker;
GRANT UPDATE (last_used_at, last_used_from) ON credentials TO moorage_broker;
CREATE POLICY broker_read ON credentials FOR SELECT TO moorage_broker USING (true);
CREATE POLICY broker_note_use ON credentials FOR UPDATE TO moorage_broker USING (true);
GRANT SELECT ON policies TO moorage_broker;
CREATE POLICY broker_read ON policies FOR SELECT TO moorage_broker USING (true);
GRANT SELECT ON policy_versions TO moorage_broker;
CREATE POLICY broker_read ON policy_versions FOR SELECT TO moorage_broker USING (true);
GRANT SELECT ON policy_bindings TO moorage_broker;
CREATE POLICY broker_read ON policy_bindings FOR SELECT TO moorage_broker USING (true);
GRANT SELECT ON changes TO moorage_broker;
CREATE POLICY broker_read ON changes FOR SELECT TO moorage_broker USING (true);
GRANT SELECT, INSERT ON change_receipts TO moorage_broker;
CREATE POLICY broker_own ON change_receipts TO moorage_broker USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON broker_processes TO moorage_broker;
CREATE POLICY broker_own ON broker_processes TO moorage_broker USING (true);
GRANT INSERT ON telemetry TO moorage_broker;
CREATE POLICY broker_write ON telemetry FOR INSERT TO moorage_broker WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON presence TO moorage_broker;
CREATE POLICY broker_own ON presence TO moorage_broker USING (true);
GRANT INSERT ON presence_events TO moorage_broker;
CREATE POLICY broker_write ON presence_events FOR INSERT TO moorage_broker WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON denials TO moorage_broker;
CREATE POLICY broker_own ON denials TO moorage_broker USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO moorage_broker;
CREATE POLICY broker_own ON sessions TO moorage_broker USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON subscriptions TO moorage_broker;
CREATE POLICY broker_own ON subscriptions TO moorage_broker USING (true);
GRANT SELECT, INSERT, DELETE ON queued_messages TO moorage_broker;
CREATE POLICY broker_own ON queued_messages TO moorage_broker USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON queue_entries TO moorage_broker;
CREATE POLICY broker_own ON queue_entries TO moorage_broker USING (true);
GRANT SELECT, INSERT, DELETE ON inbound_packets TO moorage_broker;
CREATE POLICY broker_own ON inbound_packets TO moorage_broker USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON retained_messages TO moorage_broker;
CREATE POLICY broker_own ON retained_messages TO moorage_broker USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON wills TO moorage_broker;
CREATE POLICY broker_own ON wills TO moorage_broker USING (true);

GRANT USAGE ON SEQUENCE audit_entries_id_seq TO moorage_app;
GRANT USAGE ON SEQUENCE telemetry_id_seq, presence_events_id_seq, denials_id_seq TO moorage_broker;

-- ------------------------------------------------------------------------------------------------------ closed lists and sizes

ALTER TABLE tenants
  ADD CONSTRAINT tenants_slug_form CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  ADD CONSTRAINT tenants_name_size CHECK (char_length(name) BETWEEN 1 AND 200),
  ADD CONSTRAINT tenants_status_known CHECK (status IN ('active', 'suspended')),
  ADD CONSTRAINT tenants_limits_object CHECK (jsonb_typeof(limits) = 'object'),
  ADD CONSTRAINT tenants_settings_object CHECK (jsonb_typeof(settings) = 'object'),
  -- The nil UUID stands for the platform in audit_entries.
  ADD CONSTRAINT tenants_id_not_nil CHECK (id <> '00000000-0000-0000-0000-000000000000');

ALTER TABLE api_keys
  ADD CONSTRAINT api_keys_name_size CHECK (char_length(name) BETWEEN 1 AND 200),
  ADD CONSTRAINT api_keys_hash_size CHECK (octet_length(key_hash) = 32),
  ADD CONSTRAINT api_keys_role_known CHECK (
    CASE WHEN tenant_id IS NULL THEN role = 'admin' ELSE role IN ('admin', 'operator', 'viewer') END
  );

ALTER TABLE profiles
  ADD CONSTRAINT profiles_name_size CHECK (char_length(name) BETWEEN 1 AND 200),
  ADD CONSTRAINT profiles_telemetry_array CHECK (jsonb_typeof(telemetry) = 'array');

ALTER TABLE devices
  -- The name is what ${device} expands to in a topic: no level separator, wildcard or control character.
  ADD CONSTRAINT devices_name_form CHECK (char_length(name) BETWEEN 1 AND 200 AND name !~ '[+#/\x01-\x1f\x7f-\x9f]'),
  ADD CONSTRAINT devices_attributes_object CHECK (jsonb_typeof(attributes) = 'object'),
  ADD CONSTRAINT devices_status_known CHECK (status IN ('active', 'disabled'));

ALTER TABLE groups ADD CONSTRAINT groups_name_size CHECK (char_length(name) BETWEEN 1 AND 200);

ALTER TABLE credentials
  ADD CONSTRAINT credentials_kind_known CHECK (kind IN ('password')),
  ADD CONSTRAINT credentials_auth_id_form CHECK (char_length(auth_id) BETWEEN 1 AND 200 AND auth_id !~ '[@\x01-\x1f\x7f-\x9f]'),
  ADD CONSTRAINT credentials_hash_size CHECK (octet_length(secret_hash) = 32),
  ADD CONSTRAINT credentials_rule_known CHECK (client_id_rule ->> 'kind' IN ('device', 'exact', 'prefix', 'any')),
  ADD CONSTRAINT credentials_validity_order CHECK (not_after > not_before);

ALTER TABLE policies
  ADD CONSTRAINT policies_name_size CHECK (char_length(name) BETWEEN 1 AND 200),
  ADD CONSTRAINT policies_description_size CHECK (char_length(description) <= 2000);

ALTER TABLE policy_versions
  ADD CONSTRAINT policy_versions_number_positive CHECK (number > 0),
  ADD CONSTRAINT policy_versions_rules_array CHECK (jsonb_typeof(rules) = 'array');

ALTER TABLE policy_bindings
  ADD CONSTRAINT policy_bindings_target_known CHECK (target_kind IN ('tenant', 'group', 'profile', 'device')),
  ADD CONSTRAINT policy_bindings_tenant_itself CHECK (target_kind <> 'tenant' OR target_id = tenant_id);

ALTER TABLE changes
  ADD CONSTRAINT changes_kind_known CHECK (kind IN ('tenant', 'profile', 'group', 'device', 'credential', 'policy', 'session')),
  ADD CONSTRAINT changes_subject_object CHECK (jsonb_typeof(subject) = 'object');

ALTER TABLE audit_entries
  ADD CONSTRAINT audit_entries_action_size CHECK (char_length(action) BETWEEN 1 AND 100),
  ADD CONSTRAINT audit_entries_detail_object CHECK (jsonb_typeof(detail) = 'object');

ALTER TABLE idempotency_keys
  ADD CONSTRAINT idempotency_keys_key_size CHECK (char_length(key) BETWEEN 1 AND 255),
  ADD CONSTRAINT idempotency_keys_hash_size CHECK (octet_length(request_hash) = 32);

ALTER TABLE telemetry
  ADD CONSTRAINT telemetry_qos_known CHECK (qos BETWEEN 0 AND 2),
  ADD CONSTRAINT telemetry_payload_once CHECK (num_nonnulls(body, raw) = 1);

ALTER TABLE presence ADD CONSTRAINT presence_state_known CHECK (state IN ('online', 'offline'));
ALTER TABLE presence_events ADD CONSTRAINT presence_events_state_known CHECK (state IN ('online', 'offline'));

ALTER TABLE denials
  ADD CONSTRAINT denials_key_size CHECK (octet_length(key) = 32),
  ADD CONSTRAINT denials_action_known CHECK (action IN ('connect', 'publish', 'subscribe', 'receive'));

ALTER TABLE sessions
  ADD CONSTRAINT sessions_expiry_range CHECK (expiry_interval_s BETWEEN 0 AND 4294967295);

ALTER TABLE queue_entries
  ADD CONSTRAINT queue_entries_qos_known CHECK (qos IN (1, 2)),
  ADD CONSTRAINT queue_entries_state_known CHECK (state IN (0, 1));

ALTER TABLE inbound_packets ADD CONSTRAINT inbound_packets_id_range CHECK (packet_id BETWEEN 1 AND 65535);
ALTER TABLE retained_messages ADD CONSTRAINT retained_messages_qos_known CHECK (qos BETWEEN 0 AND 2);
ALTER TABLE wills ADD CONSTRAINT wills_qos_known CHECK (qos BETWEEN 0 AND 2);

-- ------------------------------------------------------------------------------------- bindings end with what they are bound to

-- A binding names its target by kind and id, which no foreign key can follow.
CREATE FUNCTION end_bindings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM policy_bindings
   WHERE tenant_id = OLD.tenant_id AND target_kind = TG_ARGV[0] AND target_id = OLD.id;
  RETURN NULL;
END
$$;
GRANT EXECUTE ON FUNCTION end_bindings() TO moorage_app;

CREATE TRIGGER end_bindings AFTER DELETE ON devices FOR EACH ROW EXECUTE FUNCTION end_bindings('device');
CREATE TRIGGER end_bindings AFTER DELETE ON groups FOR EACH ROW EXECUTE FUNCTION end_bindings('group');
CREATE TRIGGER end_bindings AFTER DELETE ON profiles FOR EACH ROW EXECUTE FUNCTION end_bindings('profile');

-- ------------------------------------------------------------------------------------------------------ changes, in commit order

-- Who follows changes by number must never see 8 before 7 is there. A plain sequence gives numbers out before the commit, in any
-- order of commits. So the number is taken under a lock that is held until the transaction's end: the next number is handed out
-- when this one can be seen, or will never be. Gaps (a transaction rolled back) do no harm. The cost: transactions that record a
-- change commit one after the other, which is why a change is recorded last. Publishing never comes here.
CREATE SEQUENCE changes_number_seq AS bigint;
GRANT USAGE ON SEQUENCE changes_number_seq TO moorage_app;

CREATE FUNCTION number_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(x'6d6f6f72'::int, 1);
  NEW.number := nextval('changes_number_seq');
  -- A wake-up only: a follower that misses it finds the row when it next looks.
  PERFORM pg_notify('moorage_changes', NEW.number::text);
  RETURN NEW;
END
$$;
GRANT EXECUTE ON FUNCTION number_change() TO moorage_app;

CREATE TRIGGER number_change BEFORE INSERT ON changes FOR EACH ROW EXECUTE FUNCTION number_change();

-- Whoever waits for receipts is woken the same way.
CREATE FUNCTION announce_receipt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('moorage_receipts', NEW.number::text);
  RETURN NULL;
END
$$;
GRANT EXECUTE ON FUNCTION announce_receipt() TO moorage_broker;

CREATE TRIGGER announce_receipt AFTER INSERT ON change_receipts FOR EACH ROW EXECUTE FUNCTION announce_receipt();
