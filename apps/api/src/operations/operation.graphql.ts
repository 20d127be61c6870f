export const operationTypes = /* GraphQL */ `
  extend type Query {
    "How far a change of rights has come"
    operation(tenant: ID!, number: ID!): Operation!
  }

  type Operation {
    number: ID!
    "What kind of thing was changed"
    kind: String!
    "applying, or applied: every broker process that lives has it in force"
    status: String!
    createdAt: DateTime!
    waitingFor: [ID!]!
    sessionsTouched: Int!
    subscriptionsRemoved: Int!
    connectionsClosed: Int!
    willsSuppressed: Int!
    receipts: [Receipt!]!
  }

  type Receipt {
    processId: ID!
    appliedAt: DateTime!
    elapsedMs: Float!
    sessionsTouched: Int!
    subscriptionsRemoved: Int!
    connectionsClosed: Int!
    willsSuppressed: Int!
  }
`;
