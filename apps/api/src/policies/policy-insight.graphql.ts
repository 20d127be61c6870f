export const policyInsightTypes = /* GraphQL */ `
  extend type Query {
    "Rules in force that have allowed nothing for so many days"
    unusedRules(tenant: ID!, policy: ID!, days: Int = 30): UnusedRules!
    "A dry run of an activation: of a version, or of a draft's rules"
    policyDiff(tenant: ID!, policy: ID!, version: Int, rules: JSON, after: String): PolicyDiff!
    "The least rules that would have allowed what the device did"
    policySuggestion(tenant: ID!, device: ID!, days: Int = 30): PolicySuggestion!
    "The least rules that would have allowed what the devices of a profile did"
    profilePolicySuggestion(tenant: ID!, profile: ID!, days: Int = 30): PolicySuggestion!
  }

  type UnusedRules {
    version: Int!
    since: DateTime!
    rules: [UnusedRule!]!
  }

  type UnusedRule {
    index: Int!
    rule: JSON!
    "Under this or an earlier version"
    lastUsedAt: DateTime
  }

  type PolicySuggestion {
    since: DateTime!
    "How many observed topics it comes from"
    topics: Int!
    "Whose they are"
    devices: Int!
    "false: there are more than were looked at"
    isComplete: Boolean!
    rules: JSON!
  }

  type PolicyDiff {
    "The version in force"
    against: Int!
    "What the one says and the other does not, by what it covers"
    rules: RuleDifference!
    "That it was tried on, of all that the policy is bound to, by id"
    devices: Int!
    "After those: next goes on with them"
    devicesLeft: Int!
    "For after"
    next: String
    "False: there are more devices, or of these devices more topics or changes than are said here"
    isComplete: Boolean!
    "false: a broker process did not say in time who is connected, or had more to say than an answer holds"
    isLiveComplete: Boolean!
    "Counted in lost and gained, and not listed"
    changesLeft: Int!
    lost: Int!
    gained: Int!
    changes: [DecisionChange!]!
  }

  type RuleDifference {
    added: JSON!
    removed: JSON!
    kept: Int!
  }

  type DecisionChange {
    deviceId: ID!
    device: String!
    clientId: String!
    action: PolicyAction!
    "Of connect, empty"
    topic: String!
    "observed, session or denied"
    source: String!
    "Of a session that is connected now"
    isLive: Boolean!
    "allow, narrow (less of it than the other side, or than was asked for) or deny"
    before: String!
    after: String!
    reason: String!
  }
`;
