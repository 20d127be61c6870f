import { connectionTypes } from '../graphql/connection.js';

export const tokenIssuerTypes = /* GraphQL */ `
  extend type Query {
    tokenIssuers(tenant: ID!, first: Int = 50, after: String): TokenIssuerConnection!
    tokenIssuer(tenant: ID!, id: ID!): TokenIssuer!
  }

  extend type Mutation {
    createTokenIssuer(tenant: ID!, input: NewTokenIssuer!): TokenIssuer!
    updateTokenIssuer(
      tenant: ID!
      id: ID!
      expectedVersion: Int!
      patch: TokenIssuerPatch!
    ): TokenIssuerPayload!
    deleteTokenIssuer(tenant: ID!, id: ID!, expectedVersion: Int!): Deleted!
  }

  type TokenIssuer {
    id: ID!
    name: String!
    "The claim iss"
    issuer: String!
    audiences: [String!]!
    algorithms: [String!]!
    jwksUri: String
    jwks: JSON
    identity: JSON!
    leewayS: Int!
    maxLifetimeS: Int!
    disabledAt: DateTime
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }

  ${connectionTypes('TokenIssuer')}

  type TokenIssuerPayload {
    tokenIssuer: TokenIssuer!
    operation: ID
  }

  "One of jwksUri and jwks"
  input NewTokenIssuer {
    name: String!
    issuer: String!
    audiences: [String!]!
    algorithms: [String!]
    jwksUri: String
    jwks: JSON
    identity: JSON
    leewayS: Int
    maxLifetimeS: Int
  }

  input TokenIssuerPatch {
    name: String
    audiences: [String!]
    algorithms: [String!]
    jwksUri: String
    jwks: JSON
    identity: JSON
    leewayS: Int
    maxLifetimeS: Int
    disabled: Boolean
  }
`;
