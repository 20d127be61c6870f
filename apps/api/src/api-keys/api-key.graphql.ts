import { connectionTypes } from '../graphql/connection.js';

export const apiKeyTypes = /* GraphQL */ `
  extend type Query {
    apiKeys(tenant: ID!, first: Int = 50, after: String): ApiKeyConnection!
    apiKey(tenant: ID!, id: ID!): ApiKey!
    "Of a platform's key"
    platformApiKeys(first: Int = 50, after: String): ApiKeyConnection!
    "Of a platform's key"
    platformApiKey(id: ID!): ApiKey!
  }

  extend type Mutation {
    createApiKey(tenant: ID!, input: NewApiKey!): IssuedApiKey!
    "At once; a second time changes nothing"
    revokeApiKey(tenant: ID!, id: ID!): ApiKey!
    "Of a platform's key"
    createPlatformApiKey(input: NewPlatformApiKey!): IssuedApiKey!
    "Of a platform's key; never the last one that works"
    revokePlatformApiKey(id: ID!): ApiKey!
  }

  type ApiKey {
    id: ID!
    name: String!
    "viewer, operator or admin"
    role: String!
    "The part of the key that may be shown; audit rows name it"
    prefix: String!
    "null: until it is revoked"
    expiresAt: DateTime
    revokedAt: DateTime
    "To the minute"
    lastUsedAt: DateTime
    createdAt: DateTime!
  }

  ${connectionTypes('ApiKey')}

  type IssuedApiKey {
    apiKey: ApiKey!
    "Shown this once"
    key: String!
  }

  input NewApiKey {
    name: String!
    "viewer reads; operator also provisions devices; admin does everything"
    role: String!
    expiresAt: DateTime
  }

  input NewPlatformApiKey {
    name: String!
    "null: until it is revoked"
    expiresAt: DateTime
  }
`;
