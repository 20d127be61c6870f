import { connectionTypes } from '../graphql/connection.js';

export const profileTypes = /* GraphQL */ `
  extend type Query {
    profiles(tenant: ID!, first: Int = 50, after: String): ProfileConnection!
    profile(tenant: ID!, id: ID!): Profile!
  }

  type Profile {
    id: ID!
    name: String!
    telemetry: JSON!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }

  ${connectionTypes('Profile')}
`;
