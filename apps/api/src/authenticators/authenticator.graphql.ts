export const authenticatorTypes = /* GraphQL */ `
  extend type Query {
    authenticator(tenant: ID!): Authenticator!
  }

  extend type Mutation {
    createAuthenticator(tenant: ID!, input: NewAuthenticator!): IssuedAuthenticator!
    updateAuthenticator(tenant: ID!, expectedVersion: Int!, patch: AuthenticatorPatch!): AuthenticatorPayload!
    renewAuthenticatorSecret(tenant: ID!, expectedVersion: Int!): IssuedAuthenticator!
    deleteAuthenticator(tenant: ID!, expectedVersion: Int!): DeletedAuthenticator!
  }

  "A service of the tenant's own that is asked at CONNECT, for credentials of the kind external"
  type Authenticator {
    url: String!
    timeoutMs: Int!
    maxConcurrent: Int!
    enabled: Boolean!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }

  type IssuedAuthenticator {
    authenticator: Authenticator!
    "Shown this once: under it each question is signed"
    secret: String!
  }

  type AuthenticatorPayload {
    authenticator: Authenticator!
    operation: ID
  }

  type DeletedAuthenticator {
    operation: ID
  }

  input NewAuthenticator {
    "Asked by POST at each CONNECT of a credential of the kind external: https"
    url: String!
    "After so many milliseconds without an answer the client is told 'server unavailable'"
    timeoutMs: Int
    "Questions under way at once, by each broker process"
    maxConcurrent: Int
    "false asks nobody, lets nobody in by it and closes their connections"
    enabled: Boolean
  }

  input AuthenticatorPatch {
    "Asked by POST at each CONNECT of a credential of the kind external: https"
    url: String
    "After so many milliseconds without an answer the client is told 'server unavailable'"
    timeoutMs: Int
    "Questions under way at once, by each broker process"
    maxConcurrent: Int
    "false asks nobody, lets nobody in by it and closes their connections"
    enabled: Boolean
  }
`;
