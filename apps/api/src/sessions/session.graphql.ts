import { connectionTypes } from '../graphql/connection.js';

export const sessionTypes = /* GraphQL */ `
  extend type Query {
    sessions(tenant: ID!, device: ID, online: Boolean, first: Int = 50, after: String): SessionConnection!
    session(tenant: ID!, clientId: String!): SessionDetail!
  }

  extend type Mutation {
    disconnectSession(tenant: ID!, clientId: String!): Disconnected!
  }

  type Session {
    clientId: String!
    deviceId: ID!
    online: Boolean!
    since: DateTime
    connection: JSON!
    durable: Boolean!
    expiryIntervalS: Float
    expiresAt: DateTime
    createdAt: DateTime
    queuedMessages: Float!
  }

  ${connectionTypes('Session')}

  type SessionDetail {
    clientId: String!
    deviceId: ID!
    online: Boolean!
    since: DateTime
    connection: JSON!
    durable: Boolean!
    expiryIntervalS: Float
    expiresAt: DateTime
    createdAt: DateTime
    queuedMessages: Float!
    queuedBytes: Float!
    "Durable ones, the first 1000 by filter"
    subscriptions: [SessionSubscription!]!
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
