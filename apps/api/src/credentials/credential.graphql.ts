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
    authId: String
    "A password of your own choice; one is generated where it is absent"
    secret: String
    "PEM, to be pinned"
    certificate: String
    "SHA-256 of a certificate to be pinned"
    fingerprint: String
    anchorId: ID
    "By which the device signs its tokens: PEM or JWK"
    publicKey: JSON
    issuerId: ID
    clientIdRule: JSON
    notBefore: DateTime
    notAfter: DateTime
  }

  "overlapS: seconds for which both are valid, a day where it is absent"
  input CredentialRotation {
    overlapS: Int
    authId: String
    secret: String
    publicKey: JSON
    certificate: String
    fingerprint: String
    notAfter: DateTime
  }

  "A date of null is removed"
  input CredentialPatch {
    clientIdRule: JSON
    notBefore: DateTime
    notAfter: DateTime
    disabled: Boolean
  }
`;
