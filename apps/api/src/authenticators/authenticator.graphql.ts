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
    url: String!
    timeoutMs: Int
    maxConcurrent: Int
    enabled: Boolean
  }

  input AuthenticatorPatch {
    url: String
    timeoutMs: Int
    maxConcurrent: Int
    enabled: Boolean
  }
`;
