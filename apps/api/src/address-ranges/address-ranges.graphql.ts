export const addressRangesTypes = /* GraphQL */ `
  extend type Query {
    "From where clients may connect"
    addressRanges(tenant: ID!): AddressRanges!
  }

  extend type Mutation {
    "As a whole, and at once: also for those who are connected. expectedVersion is the tenant's"
    setAddressRanges(tenant: ID!, expectedVersion: Int!, ranges: AddressRules!): AddressRangesPayload!
  }

  type AddressRanges {
    "null: from anywhere"
    allow: [String!]
    "It wins over allow"
    deny: [String!]!
    version: Int!
  }

  "Addresses, or ranges like 10.0.0.0/8 and 2001:db8::/32. Without allow: from anywhere that is not denied"
  input AddressRules {
    allow: [String!]
    deny: [String!]
  }

  type AddressRangesPayload {
    addressRanges: AddressRanges!
    operation: ID
  }
`;
