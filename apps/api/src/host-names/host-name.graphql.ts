export const hostNameTypes = /* GraphQL */ `
  extend type Query {
    "By which devices reach this tenant and no other"
    hostNames(tenant: ID!): [HostName!]!
  }

  extend type Mutation {
    addHostName(tenant: ID!, host: String!): [HostName!]!
    removeHostName(tenant: ID!, host: String!): [HostName!]!
  }

  type HostName {
    host: String!
    createdAt: DateTime!
  }
`;
