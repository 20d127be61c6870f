-- What a session's client was sent when its connection ended: after a restart a first delivery is told from a repeated one. Of sessions
-- from before this column it is not known.

ALTER TABLE "sessions" ADD COLUMN "sent_to" BIGINT;
