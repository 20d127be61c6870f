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
    "Without any credential"
    bare: Int!
    "With a credential that takes the place of another"
    rotating: Int!
    "Of these, such as have used it"
    moved: Int!
    "Of these, such as have not"
    pending: Int!
    "Of all devices"
    unseen: Int!
    "Of all devices: nothing will be valid"
    expiring: Int!
  }

  type CredentialRotationRow {
    deviceId: ID!
    name: String!
    "The latest credential that takes the place of another"
    replacementId: ID
    replacesId: ID
    replacementUsedAt: DateTime
    "Of any of its credentials"
    lastUsedAt: DateTime
    "When its last one ends; null: never, or it has none"
    endsAt: DateTime
  }

  ${connectionTypes('CredentialRotationRow')}
`;
