import { connectionTypes } from '../graphql/connection.js';

const listArguments = `
      actor: String
      action: String
      subjectKind: String
      subjectId: String
      from: DateTime
      to: DateTime
      first: Int = 50
      after: String`;

export const auditTypes = /* GraphQL */ `
  extend type Query {
    audit(
      tenant: ID!
      ${listArguments}
    ): AuditConnection!
    "Of a platform's key: what concerns the platform, or the tenant of this id, which may be deleted"
    platformAudit(
      tenantId: ID
      ${listArguments}
    ): AuditConnection!
  }

  type AuditEntry {
    id: ID!
    at: DateTime!
    "Shown part of the API key"
    actor: String!
    action: String!
    subjectKind: String!
    subjectId: String!
    detail: JSON!
  }

  ${connectionTypes('Audit', 'AuditEntry')}
`;
