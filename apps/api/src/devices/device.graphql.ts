import { connectionTypes } from '../graphql/connection.js';

export const deviceTypes = /* GraphQL */ `
  extend type Query {
    devices(
      tenant: ID!
      "The whole name: one device, or none"
      name: String
      namePrefix: String
      profile: ID
      group: ID
      status: String
      first: Int = 50
      after: String
    ): DeviceConnection!
    device(tenant: ID!, id: ID!): Device!
  }

  extend type Mutation {
    createDevice(tenant: ID!, input: NewDevice!): Device!
    "Each is taken or refused by itself, with its credentials; dryRun says what would happen, and does nothing"
    createDevices(tenant: ID!, devices: [BulkDevice!]!, dryRun: Boolean = false): BulkDevicesPayload!
    updateDevice(tenant: ID!, id: ID!, expectedVersion: Int!, patch: DevicePatch!): DevicePayload!
    deleteDevice(tenant: ID!, id: ID!, expectedVersion: Int!): Deleted!
  }

  type Device {
    id: ID!
    name: String!
    attributes: JSON!
    "disabled: its credentials stop working and its connections are closed"
    status: String!
    addresses: AddressFence!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
    profile: Profile!
    groups: [Group!]!
    credentials: [Credential!]!
    "One for each client identifier, the latest first; at most 20"
    presence: [Presence!]!
    latestTelemetry: TelemetryReading
  }

  "From where it may connect, of the addresses that the tenant's ranges let in"
  type AddressFence {
    "null: from anywhere"
    allow: [String!]
    deny: [String!]!
  }

  ${connectionTypes('Device')}

  type DevicePayload {
    device: Device!
    operation: ID
  }

  input NewDevice {
    "Unique in the tenant; what \${device} stands for in topics"
    name: String!
    "Default: the tenant's default profile"
    profileId: ID
    "What \${attr.name} stands for in topics"
    attributes: JSON
    "disabled: its credentials stop working and its connections are closed"
    status: String
    groupIds: [ID!]
    "From where it may connect, of those addresses that the tenant's ranges let in"
    addresses: AddressRules
  }

  "Names its profile and groups as people do"
  input BulkDevice {
    name: String!
    "Default: the profile named default"
    profile: String
    groups: [String!]
    attributes: JSON
    status: String
    credentials: [NewCredential!]
  }

  type BulkDevicesPayload {
    dryRun: Boolean!
    created: Int!
    refused: Int!
    rows: [BulkDeviceRow!]!
    "Where certificates were pinned"
    operation: ID
  }

  type BulkDeviceRow {
    "Place in the list, from 1"
    row: Int!
    name: String
    "created, or refused; in a dry run what it would be"
    outcome: String!
    id: ID
    "Those that came with it; null in a dry run, and where none did"
    credentials: [NewCredentialPayload!]
    "[{ pointer, code, message }]"
    errors: JSON
  }

  input DevicePatch {
    "Unique in the tenant; what \${device} stands for in topics"
    name: String
    profileId: ID
    "A member of null is removed"
    attributes: JSON
    "disabled: its credentials stop working and its connections are closed"
    status: String
    groupIds: [ID!]
    "A member of null is removed"
    addresses: AddressRules
  }
`;
