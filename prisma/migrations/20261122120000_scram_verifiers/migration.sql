-- What SCRAM keeps in a password's place. Credentials from before have none: the password is not there to derive it from.

ALTER TABLE "credentials" ADD COLUMN "scram" JSONB;
