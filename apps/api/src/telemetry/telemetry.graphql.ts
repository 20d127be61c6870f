import { connectionTypes } from '../graphql/connection.js';

export const telemetryTypes = /* GraphQL */ `
  extend type Query {
    telemetry(
      tenant: ID!
      device: ID!
      from: DateTime
      to: DateTime
      "An MQTT topic filter"
      topic: String
      order: TelemetryOrder = newest
      first: Int = 50
      after: String
    ): TelemetryConnection!
    "Exact up to a million, which means: that many or more"
    telemetryCount(tenant: ID!, device: ID, from: DateTime, to: DateTime, topic: String): Float!
  }

  extend type Subscription {
    "Readings of a device as they are stored"
    telemetry(tenant: ID!, device: ID!): TelemetryReading!
  }

  enum TelemetryOrder {
    newest
    oldest
  }

  type TelemetryReading {
    id: ID!
    deviceId: ID!
    receivedAt: DateTime!
    "The device's own time, where its profile names the field"
    observedAt: DateTime
    topic: String!
    "The payload, where it is JSON; null where it is not"
    body: JSON
    "Base64 of a payload that cannot be kept as JSON"
    raw: String
    qos: Int!
  }

  ${connectionTypes('Telemetry', 'TelemetryReading')}
`;
