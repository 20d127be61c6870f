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
    "Shown this once; null of a certificate"
    password: String
  }

  input NewCredential {
    "password, or certificate"
    kind: String
    authId: String
    "PEM, to be pinned"
    certificate: String
    "SHA-256 of a certificate to be pinned"
    fingerprint: String
    anchorId: ID
    clientIdRule: JSON
    notBefore: DateTime
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
