-- Retained messages that an administrator clears are in the memory of a broker process too, which is told as of a change of rights.

ALTER TABLE "changes"
  DROP CONSTRAINT changes_kind_known,
  ADD CONSTRAINT changes_kind_known CHECK (kind IN
    ('tenant', 'profile', 'group', 'device', 'credential', 'trust-anchor', 'token-issuer', 'authenticator', 'policy',
     'session', 'ban', 'host-name', 'retained'));
