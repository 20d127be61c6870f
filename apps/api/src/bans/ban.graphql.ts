import { connectionTypes } from '../graphql/connection.js';

export const banTypes = /* GraphQL */ `
  extend type Query {
    bans(tenant: ID!, kind: BanKind, first: Int = 50, after: String): BanConnection!
    ban(tenant: ID!, id: ID!): Ban!
    "Of a platform's key"
    platformBans(kind: BanKind, first: Int = 50, after: String): BanConnection!
    "Of a platform's key"
    platformBan(id: ID!): Ban!
  }

  extend type Mutation {
    "At once, also for those who are connected"
    createBan(tenant: ID!, input: NewBan!): BanPayload!
    liftBan(tenant: ID!, id: ID!): Deleted!
    "Of a platform's key: from all tenants. Its operation is followed with Query.platformOperation"
    createPlatformBan(input: NewBan!): BanPayload!
    "Of a platform's key"
    liftPlatformBan(id: ID!): Deleted!
  }

  enum BanKind {
    client_id
    username
    address
  }

  type Ban {
    id: ID!
    kind: BanKind!
    value: String!
    reason: String!
    expiresAt: DateTime
    "False: it has expired, and is kept for a week"
    isInForce: Boolean!
    "Shown part of the API key"
    createdBy: String!
    createdAt: DateTime!
  }

  ${connectionTypes('Ban')}

  type BanPayload {
    ban: Ban!
    operation: ID
  }

  input NewBan {
    kind: BanKind!
    "The client identifier; the username before its @ (of a ban of the platform: the whole of it); an address or a range"
    value: String!
    "For people, and in the denials of who is turned away"
    reason: String
    "It is lifted by itself then"
    expiresAt: DateTime
  }
`;
