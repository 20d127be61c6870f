import { connectionTypes } from '../graphql/connection.js';

export const credentialTypes = /* GraphQL */ `
  extend type Query {
    credential(tenant: ID!, device: ID!, id: ID!): Credential!
    credentials(tenant: ID!, device: ID!, first: Int = 50, after: String): CredentialConnection!
  }

  extend type Mutation {
    createCredential(tenant: ID!, device: ID!, input: NewCredential!): NewCredentialPayload!
    updateCredential(
      tenant: ID!
      device: ID!
      id: ID!
      expectedVersion: Int!
      patch: CredentialPatch!
    ): CredentialPayload!
    "A new one in its place, and an end for the old one after the overlap"
    rotateCredential(
      tenant: ID!
      device: ID!
      id: ID!
      expectedVersion: Int!
      input: CredentialRotation!
    ): RotatedCredentialPayload!
    deleteCredential(tenant: ID!, device: ID!, id: ID!, expectedVersion: Int!): Deleted!
  }

  type Credential {
    id: ID!
    deviceId: ID!
    kind: String!
    authId: String!
    "Of a certificate that is pinned: its SHA-256"
    fingerprint: String
    "Of certificates by name: the anchor they must lead to; null: any of the tenant's"
    anchorId: ID
    "Of tokens that the device signs: JWK"
    publicKey: JSON
    "Of tokens without a key; null: any issuer of the tenant's"
    issuerId: ID
    "Whose place it takes; that one may be gone"
    replacesId: ID
    "What the device sends: authId@tenant-slug"
    username: String!
    "Which client identifiers it may use"
    clientIdRule: JSON!
    notBefore: DateTime
    notAfter: DateTime
    disabledAt: DateTime
    lastUsedAt: DateTime
    lastUsedFrom: String
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }

  ${connectionTypes('Credential')}

  type CredentialPayload {
    credential: Credential!
    operation: ID
  }

  type NewCredentialPayload {
    credential: Credential!
    "Shown this once; null where it was not generated"
    password: String
  }

  type RotatedCredentialPayload {
    credential: Credential!
    "Shown this once; null where it was not generated"
    password: String
    "The old one, with its end"
    replaced: Credential!
    operation: ID
  }

  input NewCredential {
    "password, certificate, token or external"
    kind: String
    "The part of the username before @; generated where it is absent"
    authId: String
    "A password of your own choice; one is generated where it is absent"
    secret: String
    "PEM, to be pinned"
    certificate: String
    "SHA-256 of a certificate to be pinned"
    fingerprint: String
    "For certificates by name: the anchor they must lead to; absent: any of the tenant's"
    anchorId: ID
    "By which the device signs its tokens: PEM or JWK"
    publicKey: JSON
    "For tokens without a key: the issuer they must be of; absent: any of the tenant's"
    issuerId: ID
    "Which client identifiers it may use"
    clientIdRule: JSON
    "Valid from then on; null: at once"
    notBefore: DateTime
    "Valid before then; null: without end"
    notAfter: DateTime
  }

  "overlapS: seconds for which both are valid, a day where it is absent"
  input CredentialRotation {
    "Seconds for which both are valid; the old one ends sooner if it was to end sooner"
    overlapS: Int
    "The part of the username before @; generated where it is absent"
    authId: String
    "A password of your own choice, 12 to 128 characters; absent: one is generated. It cannot be used with SCRAM"
    secret: String
    "By which the device signs its tokens: PEM or JWK; P-256, P-384, P-521, Ed25519, or RSA from 2048 bits"
    publicKey: JSON
    "To be pinned: the device shows exactly this one, self-signed or not"
    certificate: String
    "Of the certificate to be pinned, instead of it"
    fingerprint: String
    "Valid before then; null: without end"
    notAfter: DateTime
  }

  "A date of null is removed"
  input CredentialPatch {
    "Which client identifiers it may use"
    clientIdRule: JSON
    "Valid from then on; null: at once"
    notBefore: DateTime
    "Valid before then; null: without end"
    notAfter: DateTime
    "true stops it and closes its connections; false lets it in again"
    disabled: Boolean
  }
`;
