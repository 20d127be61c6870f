import { connectionTypes } from '../graphql/connection.js';

export const groupTypes = /* GraphQL */ `
  extend type Query {
    groups(tenant: ID!, first: Int = 50, after: String): GroupConnection!
    group(tenant: ID!, id: ID!): Group!
  }

  type Group {
    id: ID!
    name: String!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }

  ${connectionTypes('Group')}
`;
