import { connectionTypes } from '../graphql/connection.js';

export const pastConnectionTypes = /* GraphQL */ `
  extend type Query {
    "Of the last 90 days, newest first"
    pastConnections(tenant: ID!, device: ID!, first: Int = 50, after: String): PastConnectionConnection!
  }

  type PastConnection {
    clientId: String!
    from: DateTime!
    "null: it has not ended"
    until: DateTime
    cause: String
    reason: String
    address: String
    transport: String
    protocol: Int
    username: String
    keepAliveS: Int
    sessionExpiryS: Float
  }

  ${connectionTypes('PastConnection')}
`;
