import { connectionTypes } from '../graphql/connection.js';

export const provisioningTypes = /* GraphQL */ `
  extend type Query {
    claimTokens(tenant: ID!, first: Int = 50, after: String): ClaimTokenConnection!
    claimToken(tenant: ID!, id: ID!): ClaimToken!
    provisioningRule(tenant: ID!, anchor: ID!): ProvisioningRule!
  }

  extend type Mutation {
    createClaimToken(tenant: ID!, input: NewClaimToken!): ShownClaimToken!
    "The devices that it let in stay"
    deleteClaimToken(tenant: ID!, id: ID!): Deleted!
    "Without expectedVersion: where there is none yet"
    putProvisioningRule(
      tenant: ID!
      anchor: ID!
      expectedVersion: Int
      input: NewProvisioningRule!
    ): ProvisioningRule!
    deleteProvisioningRule(tenant: ID!, anchor: ID!, expectedVersion: Int!): Deleted!
  }

  type ClaimToken {
    id: ID!
    name: String!
    profileId: ID!
    nameTemplate: String!
    namePattern: String!
    maxUses: Int!
    uses: Int!
    expiresAt: DateTime!
    createdAt: DateTime!
  }

  type ShownClaimToken {
    claimToken: ClaimToken!
    "Shown this once; only its hash is kept"
    token: String!
  }

  ${connectionTypes('ClaimToken')}

  type ProvisioningRule {
    anchorId: ID!
    profileId: ID!
    "false: nobody registers by it"
    enabled: Boolean!
    "How devices are called: \${name} is what the device calls itself, \${random} twelve random characters"
    nameTemplate: String!
    "Which \${name} is let in: * stands for any text"
    namePattern: String!
    "How many may register in all, those that are deleted since included"
    maxDevices: Int!
    perMinute: Int!
    "How many have registered"
    registered: Int!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }

  input NewClaimToken {
    name: String!
    "Of the devices; absent: the profile named default"
    profileId: ID
    "How devices are called: \${name} is what the device calls itself, \${random} twelve random characters"
    nameTemplate: String
    "Which \${name} is let in: * stands for any text"
    namePattern: String
    "How many devices it lets in"
    maxUses: Int
    "Absent: in 7 days"
    expiresAt: DateTime
  }

  input NewProvisioningRule {
    "false: nobody registers by it"
    enabled: Boolean!
    "Of the devices; absent: the profile named default"
    profileId: ID
    "How devices are called: \${name} is what the device calls itself, \${random} twelve random characters"
    nameTemplate: String
    "Which \${name} is let in: * stands for any text"
    namePattern: String
    "How many may register in all, those that are deleted since included"
    maxDevices: Int!
    perMinute: Int
  }
`;
