-- What an authority's own responder is asked, certificate by certificate.

ALTER TABLE "trust_anchors"
  ADD COLUMN "ocsp" TEXT NOT NULL DEFAULT 'off',
  ADD COLUMN "ocsp_url" TEXT,
  ADD CONSTRAINT trust_anchors_ocsp_known CHECK (ocsp IN ('off', 'soft', 'hard')),
  ADD CONSTRAINT trust_anchors_ocsp_url_size CHECK (char_length(ocsp_url) <= 2048);
