import { connectionTypes } from '../graphql/connection.js';

export const issuingTypes = /* GraphQL */ `
  extend type Query {
    issuingAuthorities(tenant: ID!, first: Int = 50, after: String): IssuingAuthorityConnection!
    issuingAuthority(tenant: ID!, id: ID!): IssuingAuthority!
    "Signed now, and good for a week"
    issuedRevocationList(tenant: ID!, authority: ID!): IssuedRevocationList!
    deviceCertificates(tenant: ID!, device: ID!, first: Int = 50, after: String): DeviceCertificateConnection!
    deviceCertificate(tenant: ID!, device: ID!, id: ID!): DeviceCertificate!
  }

  extend type Mutation {
    "Its private key is made here, kept sealed, and never shown"
    createIssuingAuthority(tenant: ID!, input: NewIssuingAuthority!): IssuingAuthority!
    updateIssuingAuthority(
      tenant: ID!
      id: ID!
      expectedVersion: Int!
      patch: IssuingAuthorityPatch!
    ): IssuingAuthority!
    "With its key and all it has issued"
    deleteIssuingAuthority(tenant: ID!, id: ID!, expectedVersion: Int!): Deleted!
    "For a key that the device has made: the request proves that it has it"
    issueDeviceCertificate(tenant: ID!, device: ID!, input: NewDeviceCertificate!): IssuedDeviceCertificate!
    revokeDeviceCertificate(tenant: ID!, device: ID!, id: ID!, reason: String): DeviceCertificatePayload!
  }

  type IssuingAuthority {
    "Also of the trust anchor that it is"
    id: ID!
    name: String!
    "active, or retired: what it has issued is good, and it issues no more"
    status: String!
    subject: String!
    certificate: String!
    fingerprint: String!
    notBefore: DateTime!
    notAfter: DateTime!
    certificateDays: Int!
    maxCertificateDays: Int!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }

  type IssuedRevocationList {
    number: String!
    thisUpdate: DateTime!
    nextUpdate: DateTime!
    entries: Int!
    crl: String!
  }

  type DeviceCertificate {
    id: ID!
    deviceId: ID!
    authorityId: ID!
    credentialId: ID!
    serial: String!
    fingerprint: String!
    certificate: String!
    notBefore: DateTime!
    notAfter: DateTime!
    issuedBy: String!
    revokedAt: DateTime
    revocationReason: String
    createdAt: DateTime!
  }

  type IssuedDeviceCertificate {
    certificate: DeviceCertificate!
    "What the device sends along: PEM"
    chain: String!
    username: String!
  }

  type DeviceCertificatePayload {
    certificate: DeviceCertificate!
    operation: ID
  }

  ${connectionTypes('IssuingAuthority')}
  ${connectionTypes('DeviceCertificate')}

  input NewIssuingAuthority {
    name: String!
    days: Int
    certificateDays: Int
    maxCertificateDays: Int
  }

  input IssuingAuthorityPatch {
    status: String
    certificateDays: Int
    maxCertificateDays: Int
  }

  input NewDeviceCertificate {
    "PKCS #10, PEM or base64"
    csr: String!
    days: Int
    authorityId: ID
    clientIdRule: JSON
  }
`;
