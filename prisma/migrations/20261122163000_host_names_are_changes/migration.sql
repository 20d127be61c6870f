-- Whose a host name is decides who is let in by it, so brokers that remember whom they let in are told.

ALTER TABLE "changes"
  DROP CONSTRAINT changes_kind_known,
  ADD CONSTRAINT changes_kind_known CHECK (kind IN
    ('tenant', 'profile', 'group', 'device', 'credential', 'trust-anchor', 'token-issuer', 'authenticator', 'policy',
     'session', 'ban', 'host-name'));
