import { connectionTypes } from '../graphql/connection.js';

export const auditTypes = /* GraphQL */ `
  extend type Query {
    audit(
      tenant: ID!
      actor: String
      action: String
      subjectKind: String
      subjectId: String
      from: DateTime
      to: DateTime
      first: Int = 50
      after: String
    ): AuditConnection!
    "Of a platform's key: what concerns the platform, or the tenant of this id, which may be deleted"
    platformAudit(
      tenantId: ID
      actor: String
      action: String
      subjectKind: String
      subjectId: String
      from: DateTime
      to: DateTime
      first: Int = 50
      after: String
    ): AuditConnection!
  }

  type AuditEntry {
    id: ID!
    at: DateTime!
    actor: String!
    action: String!
    subjectKind: String!
    subjectId: String!
    detail: JSON!
  }

  ${connectionTypes('Audit', 'AuditEntry')}
`;
