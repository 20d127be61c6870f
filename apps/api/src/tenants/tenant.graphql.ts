import { connectionTypes } from '../graphql/connection.js';

export const tenantTypes = /* GraphQL */ `
  extend type Query {
    "Of a platform's key"
    tenants(first: Int = 50, after: String): TenantConnection!
    tenant(tenant: ID!): Tenant!
  }

  extend type Mutation {
    "Of a platform's key"
    createTenant(input: NewTenant!): Tenant!
    updateTenant(tenant: ID!, expectedVersion: Int!, patch: TenantPatch!): TenantPayload!
    "And everything of it, telemetry included"
    deleteTenant(tenant: ID!, expectedVersion: Int!): Deleted!
  }

  type Tenant {
    id: ID!
    slug: String!
    name: String!
    status: String!
    limits: JSON!
    settings: JSON!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }

  ${connectionTypes('Tenant')}

  type TenantPayload {
    tenant: Tenant!
    operation: ID
  }

  input NewTenant {
    slug: String!
    name: String!
    limits: JSON
    settings: JSON
  }

  input TenantPatch {
    name: String
    "Suspended: no device gets in, and those that are in are closed"
    status: String
    limits: JSON
    settings: JSON
  }
`;
