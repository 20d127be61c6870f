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
    "Those processes"
    waitingFor: [ID!]!
    "From the change to the last confirmation there is; null: there is none"
    elapsedMs: Float
    "Held against the rights of now, of clients that are away too"
    sessionsTouched: Int!
    subscriptionsRemoved: Int!
    connectionsClosed: Int!
    "Wills that will not be published: their right is gone"
    willsSuppressed: Int!
    "Wills that what was ended has set off, and that have been published"
    willsSent: Int!
    "Retained messages that were taken out of memory"
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
