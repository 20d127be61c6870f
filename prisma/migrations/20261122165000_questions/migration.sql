-- What broker processes know and no table holds (what clean sessions are subscribed to) is asked of them: a row, which wakes them, and
-- a row of each one's answer. They live for seconds, and whoever asks takes them away again: nothing of them need outlive a crash.

CREATE UNLOGGED TABLE "questions" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL DEFAULT uuidv7(),
    "device_ids" UUID[],
    "client_id" TEXT,
    "asked_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "questions_pkey" PRIMARY KEY ("tenant_id", "id"),
    CONSTRAINT "questions_tenant_id_fkey" FOREIGN KEY ("tenant_id")
      REFERENCES "tenants"("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT questions_devices_bound CHECK (cardinality(device_ids) BETWEEN 1 AND 200)
);

CREATE UNLOGGED TABLE "answers" (
    "tenant_id" UUID NOT NULL,
    "question_id" UUID NOT NULL,
    "process_id" UUID NOT NULL,
    "result" JSONB NOT NULL,

    CONSTRAINT "answers_pkey" PRIMARY KEY ("tenant_id", "question_id", "process_id"),
    CONSTRAINT "answers_tenant_id_question_id_fkey" FOREIGN KEY ("tenant_id", "question_id")
      REFERENCES "questions"("tenant_id", "id") ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE FUNCTION announce_question() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('moorage_questions', '');
  RETURN NULL;
END
$$;
GRANT EXECUTE ON FUNCTION announce_question() TO moorage_app;

CREATE TRIGGER announce_question AFTER INSERT ON questions FOR EACH ROW EXECUTE FUNCTION announce_question();

-- ---------------------------------------------------------------------------------------------------------------- fences

ALTER TABLE questions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE answers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

GRANT SELECT, INSERT, DELETE ON questions TO moorage_app;
CREATE POLICY app_tenant ON questions TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, DELETE ON answers TO moorage_app;
CREATE POLICY app_tenant ON answers TO moorage_app
  USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

-- A broker reads questions of all tenants, and answers. It reads no answers back but for whose they are.
GRANT SELECT ON questions TO moorage_broker;
CREATE POLICY broker_read ON questions FOR SELECT TO moorage_broker USING (true);
GRANT SELECT (tenant_id, question_id, process_id), INSERT ON answers TO moorage_broker;
CREATE POLICY broker_read ON answers FOR SELECT TO moorage_broker USING (true);
CREATE POLICY broker_answer ON answers FOR INSERT TO moorage_broker WITH CHECK (true);
