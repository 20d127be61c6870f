import { connectionTypes } from '../graphql/connection.js';

export const auditTypes = /* GraphQL */ `
  extend type Query {
    audit(
      tenant: ID!
      actor: String
      action: String
      subjectKind: String
      subjectId: String
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
