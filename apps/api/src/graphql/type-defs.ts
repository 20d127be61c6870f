import { addressRangesTypes } from '../address-ranges/address-ranges.graphql.js';
import { apiKeyTypes } from '../api-keys/api-key.graphql.js';
import { auditTypes } from '../audit/audit.graphql.js';
import { banTypes } from '../bans/ban.graphql.js';
import { authenticatorTypes } from '../authenticators/authenticator.graphql.js';
import { pastConnectionTypes } from '../connections/past-connection.graphql.js';
import { credentialTypes } from '../credentials/credential.graphql.js';
import { rotationTypes } from '../credentials/rotation.graphql.js';
import { denialTypes } from '../denials/denial.graphql.js';
import { deviceTypes } from '../devices/device.graphql.js';
import { groupTypes } from '../groups/group.graphql.js';
import { hostNameTypes } from '../host-names/host-name.graphql.js';
import { issuingTypes } from '../issuing/issuing.graphql.js';
import { operationTypes } from '../operations/operation.graphql.js';
import { policyInsightTypes } from '../policies/policy-insight.graphql.js';
import { policyTypes } from '../policies/policy.graphql.js';
import { presenceTypes } from '../presence/presence.graphql.js';
import { profileTypes } from '../profiles/profile.graphql.js';
import { provisioningTypes } from '../provisioning/provisioning.graphql.js';
import { retainedTypes } from '../retained/retained.graphql.js';
import { sessionTypes } from '../sessions/session.graphql.js';
import { telemetryTypes } from '../telemetry/telemetry.graphql.js';
import { tenantTypes } from '../tenants/tenant.graphql.js';
import { tokenIssuerTypes } from '../token-issuers/token-issuer.graphql.js';
import { trustAnchorTypes } from '../trust-anchors/trust-anchor.graphql.js';

/** What no resource owns. Each adds its own by `extend type`, in the folder where its resolver stands. */
const commonTypes = /* GraphQL */ `
  "RFC 3339"
  scalar DateTime

  "What JSON can say: an object, a list, a text, a number, true, false or null"
  scalar JSON

  type Query

  "expectedVersion is the version you have read: another one is refused"
  type Mutation

  "Over WebSocket at the same path, subprotocol graphql-transport-ws; connection_init carries { authorization: \\"Bearer moo_…\\" }"
  type Subscription

  type PageInfo {
    hasNextPage: Boolean!
    "For after, to get the next page"
    endCursor: String
  }

  "operation: to be followed with Query.operation; null where no live connection can be concerned"
  type Deleted {
    id: ID!
    operation: ID
  }
`;

/** The schema, as people read it. Lists are Relay connections with the cursors of REST; `tenant` takes a slug or an id. */
export const typeDefs = [
  commonTypes,
  tenantTypes,
  apiKeyTypes,
  profileTypes,
  groupTypes,
  deviceTypes,
  credentialTypes,
  rotationTypes,
  tokenIssuerTypes,
  authenticatorTypes,
  trustAnchorTypes,
  issuingTypes,
  provisioningTypes,
  hostNameTypes,
  policyTypes,
  pastConnectionTypes,
  policyInsightTypes,
  addressRangesTypes,
  banTypes,
  telemetryTypes,
  presenceTypes,
  retainedTypes,
  sessionTypes,
  denialTypes,
  auditTypes,
  operationTypes,
].join('\n');
