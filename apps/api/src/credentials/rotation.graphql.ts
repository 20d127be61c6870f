import { connectionTypes } from '../graphql/connection.js';

export const rotationTypes = /* GraphQL */ `
  extend type Query {
    "since: credentials that take another's place count from then on; of the last year where it is absent"
    credentialRotation(
      tenant: ID!
      since: DateTime
      unseenDays: Int = 90
      expiringDays: Int = 30
    ): CredentialRotationOverview!
    "state: bare, untouched, pending, moved, unseen or expiring"
    credentialRotationDevices(
      tenant: ID!
      state: String!
      since: DateTime
      unseenDays: Int = 90
      expiringDays: Int = 30
      first: Int = 50
      after: String
    ): CredentialRotationRowConnection!
  }

  type CredentialRotationOverview {
    devices: Int!
    bare: Int!
    rotating: Int!
    moved: Int!
    pending: Int!
    unseen: Int!
    expiring: Int!
  }

  type CredentialRotationRow {
    deviceId: ID!
    name: String!
    replacementId: ID
    replacesId: ID
    replacementUsedAt: DateTime
    lastUsedAt: DateTime
    endsAt: DateTime
  }

  ${connectionTypes('CredentialRotationRow')}
`;
