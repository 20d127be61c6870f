-- What changes with every coming and going stays on its page, and no index is written for it: PostgreSQL updates a row in place (HOT)
-- where no indexed column changes and its page has room. The state was in an index; whose clients a lost process leaves behind is
-- found by the process alone.

DROP INDEX "presence_process_id_state_idx";
CREATE INDEX "presence_process_id_idx" ON "presence"("process_id");

ALTER TABLE "presence" SET (fillfactor = 70);
ALTER TABLE "device_presence" SET (fillfactor = 70);
ALTER TABLE "credentials" SET (fillfactor = 85);
