import { connectionTypes } from '../graphql/connection.js';

export const profileTypes = /* GraphQL */ `
  extend type Query {
    profiles(tenant: ID!, first: Int = 50, after: String): ProfileConnection!
    profile(tenant: ID!, id: ID!): Profile!
  }

  extend type Mutation {
    createProfile(tenant: ID!, input: NewProfile!): Profile!
    updateProfile(tenant: ID!, id: ID!, expectedVersion: Int!, patch: ProfilePatch!): ProfilePayload!
    "Refused while a device has it"
    deleteProfile(tenant: ID!, id: ID!, expectedVersion: Int!): Deleted!
  }

  type Profile {
    id: ID!
    name: String!
    "Which messages of its devices are readings: [{ filter, timeField }]"
    telemetry: JSON!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }

  ${connectionTypes('Profile')}

  type ProfilePayload {
    profile: Profile!
    operation: ID
  }

  input NewProfile {
    name: String!
    "Which messages of its devices are readings"
    telemetry: JSON
  }

  input ProfilePatch {
    name: String
    "The whole list"
    telemetry: JSON
  }
`;
