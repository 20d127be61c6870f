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
    clientPresence(tenant: ID!, clientId: String!): Presence!
    presenceHistory(tenant: ID!, device: ID!, first: Int = 50, after: String): PresenceEventConnection!
  }

  extend type Subscription {
    "Clients of the tenant, or of one device, as they come and go"
    presence(tenant: ID!, device: ID): Presence!
  }

  enum PresenceState {
    online
    offline
  }

  type Presence {
    clientId: String!
    deviceId: ID!
    state: PresenceState!
    cause: String!
    since: DateTime!
    epoch: String!
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
    cause: String!
    at: DateTime!
    epoch: String!
    detail: JSON!
    will: String
  }

  ${connectionTypes('PresenceEvent')}
`;
