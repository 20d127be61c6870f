import { connectionTypes } from '../graphql/connection.js';

export const groupTypes = /* GraphQL */ `
  extend type Query {
    groups(tenant: ID!, first: Int = 50, after: String): GroupConnection!
    group(tenant: ID!, id: ID!): Group!
  }

  extend type Mutation {
    createGroup(tenant: ID!, input: NewGroup!): Group!
    "Policies name a group by its id: a new name changes nobody's rights"
    updateGroup(tenant: ID!, id: ID!, expectedVersion: Int!, patch: GroupPatch!): Group!
    "Not its devices; what was bound to it ends"
    deleteGroup(tenant: ID!, id: ID!, expectedVersion: Int!): Deleted!
    "Asked for again it changes nothing"
    addGroupMember(tenant: ID!, group: ID!, device: ID!): MembershipPayload!
    "Asked for again it changes nothing"
    removeGroupMember(tenant: ID!, group: ID!, device: ID!): MembershipPayload!
  }

  "Query.devices with its id as group lists its members"
  type Group {
    id: ID!
    name: String!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }

  ${connectionTypes('Group')}

  "operation: null where nothing has changed"
  type MembershipPayload {
    group: ID!
    device: ID!
    operation: ID
  }

  input NewGroup {
    name: String!
  }

  input GroupPatch {
    name: String
  }
`;
