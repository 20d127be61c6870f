import { connectionTypes } from '../graphql/connection.js';

export const trustAnchorTypes = /* GraphQL */ `
  extend type Query {
    trustAnchors(tenant: ID!, first: Int = 50, after: String): TrustAnchorConnection!
    trustAnchor(tenant: ID!, id: ID!): TrustAnchor!
  }

  extend type Mutation {
    "Trusted once possession of its key is proven"
    createTrustAnchor(tenant: ID!, input: NewTrustAnchor!): TrustAnchor!
    "With a certificate, PEM, that its key has signed and whose common name is the challenge"
    proveTrustAnchor(tenant: ID!, id: ID!, certificate: String!): TrustAnchor!
    updateTrustAnchor(
      tenant: ID!
      id: ID!
      expectedVersion: Int!
      patch: TrustAnchorPatch!
    ): TrustAnchorPayload!
    "By a revocation list, PEM or base64, that is newer than the one in force"
    revokeCertificates(tenant: ID!, id: ID!, crl: String!): TrustAnchorPayload!
    deleteTrustAnchor(tenant: ID!, id: ID!, expectedVersion: Int!): Deleted!
  }

  type TrustAnchor {
    id: ID!
    name: String!
    "pending, or trusted"
    state: String!
    "While pending: the common name to be signed"
    challenge: String
    provenAt: DateTime
    subject: String!
    "PEM"
    certificate: String!
    "SHA-256 of the certificate"
    fingerprint: String!
    "SHA-256 of the SubjectPublicKeyInfo"
    publicKeyHash: String!
    notBefore: DateTime!
    notAfter: DateTime!
    "null: an issuing authority of the platform"
    identity: JSON
    "refuse, grace or ignore"
    crlWhenStale: String!
    "Seconds after nextUpdate, for grace"
    crlGraceS: Int!
    crl: RevocationList
    crlSources: [RevocationListSource!]!
    "Lists are fetched from where certificates say, too"
    crlFromCertificates: Boolean!
    "Seconds after which a list is fetched again, at the latest; before its nextUpdate in any case"
    crlRefreshS: Int!
    "While the first list is still to be fetched: from then on its lack counts"
    crlExpectedAt: DateTime
    "off, soft or hard"
    ocsp: String!
    "null: where each certificate says"
    ocspUrl: String
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }

  type RevocationList {
    number: String!
    thisUpdate: DateTime!
    nextUpdate: DateTime!
    entries: Int!
  }

  type RevocationListSource {
    url: String!
    "named, or certificate: seen in one"
    origin: String!
    fetchedAt: DateTime
    triedAt: DateTime
    "In a row"
    failures: Int!
    "Of the last attempt"
    error: RevocationListFault
    nextAt: DateTime!
  }

  type RevocationListFault {
    code: String!
    message: String!
  }

  ${connectionTypes('TrustAnchor')}

  type TrustAnchorPayload {
    trustAnchor: TrustAnchor!
    operation: ID
  }

  input NewTrustAnchor {
    name: String!
    "Of the authority, PEM"
    certificate: String!
    "Where certificates carry the name: exactly one of \${device} and \${authId} in the pattern"
    identity: JSON
    "When the revocation list is past its nextUpdate: nobody gets in, at once or after crlGraceS, or everybody does"
    crlWhenStale: String
    "Seconds after nextUpdate, for grace"
    crlGraceS: Int
    "Where the authority publishes its revocation list; fetched from each"
    crlUrls: [String!]
    "Lists are fetched from where certificates say, too (CRL distribution points)"
    crlFromCertificates: Boolean
    "Seconds after which a list is fetched again, at the latest; before its nextUpdate in any case"
    crlRefreshS: Int
    "Whether its responder is asked about certificates: with soft its silence lets in, with hard it refuses; what it calls revoked or unknown is refused by both"
    ocsp: String
    "null: where each certificate says (authority information access)"
    ocspUrl: String
  }

  input TrustAnchorPatch {
    name: String
    "A renewed one, self-signed, of the same key and subject"
    certificate: String
    "When the revocation list is past its nextUpdate: nobody gets in, at once or after crlGraceS, or everybody does"
    crlWhenStale: String
    "Seconds after nextUpdate, for grace"
    crlGraceS: Int
    "Where the authority publishes its revocation list; fetched from each"
    crlUrls: [String!]
    "Lists are fetched from where certificates say, too (CRL distribution points)"
    crlFromCertificates: Boolean
    "Seconds after which a list is fetched again, at the latest; before its nextUpdate in any case"
    crlRefreshS: Int
    "Whether its responder is asked about certificates: with soft its silence lets in, with hard it refuses; what it calls revoked or unknown is refused by both"
    ocsp: String
    "null: where each certificate says (authority information access)"
    ocspUrl: String
  }
`;
