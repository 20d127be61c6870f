import { connectionTypes } from '../graphql/connection.js';

export const policyTypes = /* GraphQL */ `
  extend type Query {
    policies(tenant: ID!, first: Int = 50, after: String): PolicyConnection!
    policy(tenant: ID!, id: ID!): Policy!
    policyVersions(tenant: ID!, policy: ID!, first: Int = 50, after: String): PolicyVersionConnection!
    policyVersion(tenant: ID!, policy: ID!, number: Int!): PolicyVersion!
    policyBindings(
      tenant: ID!
      policy: ID
      targetKind: PolicyTargetKind
      target: ID
      first: Int = 50
      after: String
    ): PolicyBindingConnection!
    policyBinding(tenant: ID!, id: ID!): PolicyBinding!
    "What the broker would decide for a device now, and by which rule"
    evaluatePolicy(tenant: ID!, question: PolicyQuestion!): PolicyEvaluation!
  }

  extend type Mutation {
    createPolicy(tenant: ID!, input: NewPolicy!): Policy!
    updatePolicy(tenant: ID!, id: ID!, expectedVersion: Int!, patch: PolicyPatch!): PolicyPayload!
    "With activate, the new rules are in force at once"
    addPolicyVersion(tenant: ID!, policy: ID!, rules: JSON!, activate: Boolean = false): PolicyVersionPayload!
    "Any version there is: an older one rolls back"
    activatePolicyVersion(tenant: ID!, policy: ID!, expectedVersion: Int!, version: Int!): PolicyPayload!
    "Refused while it is bound, unless asked to end its bindings"
    deletePolicy(tenant: ID!, id: ID!, expectedVersion: Int!, unbind: Boolean = false): Deleted!
    bindPolicy(tenant: ID!, policy: ID!, targetKind: PolicyTargetKind!, target: ID!): PolicyBindingPayload!
    unbindPolicy(tenant: ID!, binding: ID!): Deleted!
  }

  enum PolicyTargetKind {
    tenant
    group
    profile
    device
  }

  enum PolicyAction {
    connect
    publish
    subscribe
    receive
    retain
  }

  type Policy {
    id: ID!
    name: String!
    description: String!
    "The version whose rules are in force"
    activeVersion: Int!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
    "Those in force"
    rules: JSON!
  }

  ${connectionTypes('Policy')}

  type PolicyPayload {
    policy: Policy!
    operation: ID
  }

  input NewPolicy {
    name: String!
    description: String
    rules: JSON!
  }

  input PolicyPatch {
    name: String
    description: String
  }

  type PolicyVersion {
    policyId: ID!
    number: Int!
    rules: JSON!
    "Shown part of the API key"
    createdBy: String!
    createdAt: DateTime!
  }

  ${connectionTypes('PolicyVersion')}

  type PolicyVersionPayload {
    policyVersion: PolicyVersion!
    operation: ID
  }

  type PolicyBinding {
    id: ID!
    policyId: ID!
    targetKind: PolicyTargetKind!
    targetId: ID!
    createdAt: DateTime!
  }

  ${connectionTypes('PolicyBinding')}

  type PolicyBindingPayload {
    binding: PolicyBinding!
    operation: ID
  }

  input PolicyQuestion {
    deviceId: ID!
    action: PolicyAction!
    "The topic, or for subscribe the filter; connect needs none"
    topic: String
    clientId: String
    "That it signs in with: its validity and its client-id rule count for connect"
    credentialId: ID
    username: String
    "Of the certificate that it shows; default: none"
    commonName: String
    qos: Int
    retain: Boolean
    payloadBytes: Int
    "tcp, tls, mtls, ws, wss or mwss; rules that ask for more than is said do not allow"
    transport: String
    address: String
    "Default: now"
    at: DateTime
  }

  type PolicyEvaluation {
    decision: String!
    action: PolicyAction!
    reason: String!
    "The rule that decided; null where none did"
    rule: DecidingRule
    "The highest QoS that is granted"
    maxQos: Int
    "Of a filter that is refused, or granted in part: a topic it matches and that is not allowed"
    witness: String
    "Rules that speak of this and do not hold here and now"
    unmet: [UnmetRule!]!
  }

  type UnmetRule {
    policyId: ID!
    policyName: String!
    version: Int!
    index: Int!
    effect: String!
    "Of transports, addresses, time"
    conditions: [String!]!
  }

  type DecidingRule {
    policyId: ID!
    policyName: String!
    version: Int!
    "Place in the list of rules, from 0"
    index: Int!
    pattern: String!
  }
`;
