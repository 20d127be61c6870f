export const operationTypes = /* GraphQL */ `
  extend type Query {
    "How far a change of rights has come"
    operation(tenant: ID!, number: ID!): Operation!
    "Of a platform's key: of a change that concerns all tenants"
    platformOperation(number: ID!): Operation!
  }

  type Operation {
    number: ID!
    "What kind of thing was changed"
    kind: String!
    "applying, or applied: every broker process that lives has it in force"
    status: String!
    createdAt: DateTime!
    processesConfirmed: Int!
    "Broker processes that have not confirmed it yet; one that is lost is waited for until its lease is over"
    processesPending: Int!
    waitingFor: [ID!]!
    "From the change to the last confirmation there is; null: there is none"
    elapsedMs: Float
    sessionsTouched: Int!
    subscriptionsRemoved: Int!
    connectionsClosed: Int!
    willsSuppressed: Int!
    "Wills that what was ended has set off, and that have been published"
    willsSent: Int!
    retainedCleared: Int!
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
    willsSent: Int!
    retainedCleared: Int!
  }
`;
