import { connectionTypes } from '../graphql/connection.js';

export const presenceTypes = /* GraphQL */ `
  extend type Query {
    presence(
      tenant: ID!
      state: PresenceState
      device: ID
      first: Int = 50
      after: String
    ): PresenceConnection!
    "What each device is; those that were never seen too"
    devicePresences(
      tenant: ID!
      state: DeviceState
      first: Int = 50
      after: String
    ): DevicePresenceConnection!
    devicePresence(tenant: ID!, device: ID!): DevicePresence!
    clientPresence(tenant: ID!, clientId: String!): Presence!
    presenceHistory(
      tenant: ID!
      device: ID!
      from: DateTime
      to: DateTime
      first: Int = 50
      after: String
    ): PresenceEventConnection!
  }

  extend type Subscription {
    "Clients of the tenant, or of one device, as they come and go"
    presence(tenant: ID!, device: ID): Presence!
  }

  enum PresenceState {
    online
    offline
  }

  "suspended: the device is disabled, or its tenant suspended; else online while one of its clients is"
  enum DeviceState {
    never_seen
    online
    offline
    suspended
  }

  type DevicePresence {
    deviceId: ID!
    "Its name"
    device: String!
    state: DeviceState!
    cause: String
    since: DateTime
    "Number of its last presence event"
    sequence: String!
    "The online ones first, the newest first; of many the first twenty"
    clients: [ClientState!]!
  }

  type ClientState {
    clientId: String!
    state: PresenceState!
    cause: String!
    since: DateTime!
    epoch: String!
  }

  ${connectionTypes('DevicePresence')}

  type Presence {
    clientId: String!
    deviceId: ID!
    state: PresenceState!
    "connected, clean, will, keep-alive, network, kicked, taken-over, presumed …"
    cause: String!
    since: DateTime!
    "Grows with every connection of the client"
    epoch: String!
    "Number among the device's presence events; it grows by one"
    sequence: String!
    "Address, transport, protocol; at the end the reason"
    detail: JSON!
    "Base64 of the payload of the will that this end set off"
    will: String
    device: Device!
  }

  ${connectionTypes('Presence')}

  type PresenceEvent {
    id: ID!
    clientId: String!
    deviceId: ID!
    state: PresenceState!
    "connected, clean, will, keep-alive, network, kicked, taken-over, presumed …"
    cause: String!
    at: DateTime!
    epoch: String!
    "Number among the device's presence events; it grows by one"
    sequence: String!
    "false: it came late and changed nothing"
    applied: Boolean!
    "Address, transport, protocol; at the end the reason"
    detail: JSON!
    "Base64 of the payload of the will that this end set off"
    will: String
  }

  ${connectionTypes('PresenceEvent')}
`;
