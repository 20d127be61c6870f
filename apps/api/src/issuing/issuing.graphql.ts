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
    "PEM"
    certificate: String!
    "SHA-256 of the certificate"
    fingerprint: String!
    notBefore: DateTime!
    notAfter: DateTime!
    "Validity of a certificate whose request names none"
    certificateDays: Int!
    "What a request may ask for"
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
    "PEM, signed by the authority"
    crl: String!
  }

  type DeviceCertificate {
    id: ID!
    deviceId: ID!
    authorityId: ID!
    "What it lets the device in by; gone once it is over"
    credentialId: ID!
    "Hexadecimal"
    serial: String!
    "SHA-256"
    fingerprint: String!
    "PEM"
    certificate: String!
    notBefore: DateTime!
    notAfter: DateTime!
    "API key, claim token, or the certificate that it renews"
    issuedBy: String!
    revokedAt: DateTime
    revocationReason: String
    createdAt: DateTime!
  }

  type IssuedDeviceCertificate {
    certificate: DeviceCertificate!
    "What the device sends along: PEM"
    chain: String!
    "Where the certificate alone does not name the tenant"
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
    "Validity of the authority itself"
    days: Int
    "Validity of a certificate whose request names none"
    certificateDays: Int
    "What a request may ask for"
    maxCertificateDays: Int
  }

  input IssuingAuthorityPatch {
    "retired: what it has issued is good, and it issues no more"
    status: String
    "Validity of a certificate whose request names none"
    certificateDays: Int
    "What a request may ask for"
    maxCertificateDays: Int
  }

  input NewDeviceCertificate {
    "PKCS #10, PEM or base64"
    csr: String!
    "Validity; absent: what the authority gives"
    days: Int
    "Absent: the newest that is active"
    authorityId: ID
    "Which client identifiers it may use"
    clientIdRule: JSON
  }
`;
