-- A session knows how much waits for it: nobody counts a queue when its client comes back.

ALTER TABLE "queue_entries" ADD COLUMN "bytes" INTEGER NOT NULL DEFAULT 0;

ALTER TABLE "sessions"
  ADD COLUMN "queued_messages" BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN "queued_bytes" BIGINT NOT NULL DEFAULT 0;

-- What waits already. The owner is behind row-level security too, but for these statements.
ALTER TABLE sessions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE queue_entries NO FORCE ROW LEVEL SECURITY;
ALTER TABLE queued_messages NO FORCE ROW LEVEL SECURITY;

UPDATE queue_entries e SET bytes = octet_length(m.payload)
  FROM queued_messages m WHERE m.tenant_id = e.tenant_id AND m.id = e.message_id;
UPDATE sessions s SET queued_messages = q.messages, queued_bytes = q.bytes
  FROM (SELECT tenant_id, client_id, count(*) AS messages, sum(bytes) AS bytes FROM queue_entries GROUP BY 1, 2) q
  WHERE s.tenant_id = q.tenant_id AND s.client_id = q.client_id;

ALTER TABLE sessions FORCE ROW LEVEL SECURITY;
ALTER TABLE queue_entries FORCE ROW LEVEL SECURITY;
ALTER TABLE queued_messages FORCE ROW LEVEL SECURITY;

-- The row is written with every batch that reaches its queue: room for that on its own page, where no index is touched.
ALTER TABLE sessions SET (fillfactor = 70);
