-- What the broker's store needs to number its messages and batches, and to give messages and wills back whole.

ALTER TABLE "broker_processes"
  ADD COLUMN "number" SERIAL NOT NULL,
  ADD COLUMN "batch" BIGINT NOT NULL DEFAULT 0;

ALTER TABLE "queued_messages"
  ADD COLUMN "qos" SMALLINT NOT NULL DEFAULT 1,
  ADD COLUMN "retain" BOOLEAN NOT NULL DEFAULT false;

ALTER TABLE "wills" ADD COLUMN "message_expiry_s" BIGINT;

GRANT USAGE ON SEQUENCE broker_processes_number_seq TO moorage_broker;

-- Denials are bounded for each tenant: the oldest make room.
GRANT DELETE ON denials TO moorage_broker;
