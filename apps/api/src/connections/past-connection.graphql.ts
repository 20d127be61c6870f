import { connectionTypes } from '../graphql/connection.js';

export const pastConnectionTypes = /* GraphQL */ `
  extend type Query {
    "Of the last 90 days, newest first"
    pastConnections(tenant: ID!, device: ID!, first: Int = 50, after: String): PastConnectionConnection!
  }

  type PastConnection {
    clientId: String!
    from: DateTime!
    "null: it has not ended"
    until: DateTime
    "Why it ended"
    cause: String
    "The name of MQTT 5.0's reason code with which it ended"
    reason: String
    address: String
    transport: String
    "TLSv1.2 or TLSv1.3; null: without TLS"
    tls: String
    "3, 4 (3.1.1) or 5"
    protocol: Int
    username: String
    "The credential it signed in with"
    credentialId: ID
    "That of its certificate, where one was asked for beside another credential"
    certificateCredentialId: ID
    keepAliveS: Int
    sessionExpiryS: Float
    "Of MQTT, from the device; what is counted is null until the connection has ended"
    bytesReceived: Float
    bytesSent: Float
    "PUBLISH packets from the device, refused ones included"
    messagesReceived: Float
    "PUBLISH packets to the device, repeated ones included"
    messagesSent: Float
  }

  ${connectionTypes('PastConnection')}
`;
