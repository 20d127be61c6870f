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
    reason: String!
    detail: String!
    firstAt: DateTime!
    lastAt: DateTime!
    count: String!
  }

  ${connectionTypes('Denial')}
`;
