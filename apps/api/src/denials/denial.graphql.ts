import { connectionTypes } from '../graphql/connection.js';

export const denialTypes = /* GraphQL */ `
  extend type Query {
    denials(
      tenant: ID!
      device: ID
      clientId: String
      action: DenialAction
      since: DateTime
      first: Int = 50
      after: String
    ): DenialConnection!
  }

  enum DenialAction {
    connect
    publish
    subscribe
    receive
  }

  type Denial {
    id: ID!
    deviceId: ID
    clientId: String!
    username: String!
    address: String!
    action: DenialAction!
    topic: String!
    "Stable: the name of MQTT 5.0's reason code"
    reason: String!
    "The rule that decided, or why there was none"
    detail: String!
    firstAt: DateTime!
    lastAt: DateTime!
    "How often the same client was refused the same thing for the same reason"
    count: String!
  }

  ${connectionTypes('Denial')}
`;
