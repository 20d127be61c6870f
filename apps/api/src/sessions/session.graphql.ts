import { connectionTypes } from '../graphql/connection.js';

/** Of a session in a list, and of one with its details. */
const sessionFields = `
    clientId: String!
    deviceId: ID!
    online: Boolean!
    "Online, or away, since then"
    since: DateTime
    "Address, transport, protocol …; of the last connection where it is away"
    connection: JSON!
    "It outlives its connection"
    durable: Boolean!
    expiryIntervalS: Float
    "Set while away"
    expiresAt: DateTime
    "Of a durable session"
    createdAt: DateTime
    queuedMessages: Float!`;

export const sessionTypes = /* GraphQL */ `
  extend type Query {
    sessions(tenant: ID!, device: ID, online: Boolean, first: Int = 50, after: String): SessionConnection!
    session(tenant: ID!, clientId: String!): SessionDetail!
  }

  extend type Mutation {
    disconnectSession(tenant: ID!, clientId: String!): Disconnected!
  }

  type Session {
    ${sessionFields}
  }

  ${connectionTypes('Session')}

  type SessionDetail {
    ${sessionFields}
    queuedBytes: Float!
    "The first 1000"
    subscriptions: [SessionSubscription!]!
    "false: it has more subscriptions, or the broker process that knows them did not answer in time"
    isComplete: Boolean!
  }

  type SessionSubscription {
    filter: String!
    qos: Int!
    noLocal: Boolean!
    retainAsPublished: Boolean!
    retainHandling: Int!
    subscriptionId: Int
  }

  type Disconnected {
    clientId: String!
    operation: ID!
  }
`;
