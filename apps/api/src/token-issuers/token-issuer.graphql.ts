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
    "The claim iss, letter by letter"
    issuer: String!
    "One of them has to be in the claim aud"
    audiences: [String!]!
    algorithms: [String!]
    "Where its keys are: https; fetched when needed and kept for ten minutes"
    jwksUri: String
    "Its keys themselves, a JWK Set, instead of jwksUri"
    jwks: JSON
    "The claim that has to be the name of the device, or the authId of the credential, that the username names"
    identity: JSON
    "By how much clocks may differ, in seconds"
    leewayS: Int
    "Tokens that live longer are refused, in seconds"
    maxLifetimeS: Int
  }

  input TokenIssuerPatch {
    name: String
    "One of them has to be in the claim aud"
    audiences: [String!]
    algorithms: [String!]
    "Where its keys are: https; fetched when needed and kept for ten minutes"
    jwksUri: String
    "Its keys themselves, a JWK Set, instead of jwksUri"
    jwks: JSON
    "The claim that has to be the name of the device, or the authId of the credential, that the username names"
    identity: JSON
    "By how much clocks may differ, in seconds"
    leewayS: Int
    "Tokens that live longer are refused, in seconds"
    maxLifetimeS: Int
    "true trusts none of its tokens any more and closes their connections"
    disabled: Boolean
  }
`;
