-- What changes rights, all kinds together.

ALTER TABLE "changes"
  DROP CONSTRAINT changes_kind_known,
  ADD CONSTRAINT changes_kind_known CHECK (kind IN
    ('tenant', 'profile', 'group', 'device', 'credential', 'trust-anchor', 'token-issuer', 'authenticator', 'policy',
     'session', 'ban'));
