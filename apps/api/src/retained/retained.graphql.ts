import { connectionTypes } from '../graphql/connection.js';

export const retainedTypes = /* GraphQL */ `
  extend type Query {
    "By topic, of those that the filter matches; payload: with body, raw and properties, in pages that may then be shorter"
    retainedMessages(
      tenant: ID!
      "An MQTT topic filter"
      topic: String
      payload: Boolean = false
      first: Int = 50
      after: String
    ): RetainedMessageConnection!
    "With its payload"
    retainedMessage(tenant: ID!, topic: String!): RetainedMessage!
  }

  extend type Mutation {
    "Nothing is published: the next subscriber does not get it"
    clearRetainedMessage(tenant: ID!, topic: String!): ClearedRetainedMessage!
    "All that an MQTT topic filter matches; dryRun counts them, and clears none"
    clearRetainedMessages(tenant: ID!, topic: String!, dryRun: Boolean = false): RetainedClearing!
  }

  type RetainedMessage {
    topic: String!
    qos: Int!
    payloadBytes: Int!
    "When it was set"
    receivedAt: DateTime!
    "Client identifier of whoever set it, by a message or by its will"
    publisher: String!
    expiresAt: DateTime
    "false: body, raw and properties were not asked for"
    hasContent: Boolean!
    "The payload, where it is JSON; null where it is not, or was not asked for"
    body: JSON
    "Base64 of a payload that is not JSON"
    raw: String
    "As published with MQTT 5.0; correlationData in base64"
    properties: JSON
  }

  ${connectionTypes('RetainedMessage')}

  type ClearedRetainedMessage {
    topic: String!
    operation: ID!
  }

  type RetainedClearing {
    dryRun: Boolean!
    "How many stood when it began; in a dry run: would be cleared"
    messages: Float!
    "null: a dry run"
    operation: ID
  }
`;
