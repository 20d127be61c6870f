/** The schema, as people read it. Lists are Relay connections with the cursors of REST; `tenant` takes a slug or an id. */
export const typeDefs = /* GraphQL */ `
  "RFC 3339"
  scalar DateTime
  scalar JSON

  type Query {
    "Of a platform's key"
    tenants(first: Int = 50, after: String): TenantConnection!
    tenant(tenant: ID!): Tenant!
    profiles(tenant: ID!, first: Int = 50, after: String): ProfileConnection!
    profile(tenant: ID!, id: ID!): Profile!
    groups(tenant: ID!, first: Int = 50, after: String): GroupConnection!
    group(tenant: ID!, id: ID!): Group!
    devices(
      tenant: ID!
      namePrefix: String
      profile: ID
      group: ID
      status: String
      first: Int = 50
      after: String
    ): DeviceConnection!
    device(tenant: ID!, id: ID!): Device!
    credentials(tenant: ID!, device: ID!, first: Int = 50, after: String): CredentialConnection!
    trustAnchors(tenant: ID!, first: Int = 50, after: String): TrustAnchorConnection!
    trustAnchor(tenant: ID!, id: ID!): TrustAnchor!
    policies(tenant: ID!, first: Int = 50, after: String): PolicyConnection!
    policy(tenant: ID!, id: ID!): Policy!
    policyVersions(tenant: ID!, policy: ID!, first: Int = 50, after: String): PolicyVersionConnection!
    policyBindings(
      tenant: ID!
      policy: ID
      targetKind: PolicyTargetKind
      target: ID
      first: Int = 50
      after: String
    ): PolicyBindingConnection!
    "What the broker would decide for a device now, and by which rule"
    evaluatePolicy(tenant: ID!, question: PolicyQuestion!): PolicyEvaluation!
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
    "Exact"
    telemetryCount(tenant: ID!, device: ID, from: DateTime, to: DateTime, topic: String): Float!
    presence(
      tenant: ID!
      state: PresenceState
      device: ID
      first: Int = 50
      after: String
    ): PresenceConnection!
    presenceHistory(tenant: ID!, device: ID!, first: Int = 50, after: String): PresenceEventConnection!
    sessions(tenant: ID!, device: ID, online: Boolean, first: Int = 50, after: String): SessionConnection!
    session(tenant: ID!, clientId: String!): SessionDetail!
    denials(
      tenant: ID!
      device: ID
      clientId: String
      action: DenialAction
      since: DateTime
      first: Int = 50
      after: String
    ): DenialConnection!
    audit(
      tenant: ID!
      actor: String
      action: String
      subjectKind: String
      subjectId: String
      first: Int = 50
      after: String
    ): AuditConnection!
    "How far a change of rights has come"
    operation(tenant: ID!, number: ID!): Operation!
  }

  "expectedVersion is the version you have read: another one is refused"
  type Mutation {
    "Of a platform's key"
    createTenant(input: NewTenant!): Tenant!
    updateTenant(tenant: ID!, expectedVersion: Int!, patch: TenantPatch!): TenantPayload!
    createDevice(tenant: ID!, input: NewDevice!): Device!
    updateDevice(tenant: ID!, id: ID!, expectedVersion: Int!, patch: DevicePatch!): DevicePayload!
    deleteDevice(tenant: ID!, id: ID!, expectedVersion: Int!): Deleted!
    createCredential(tenant: ID!, device: ID!, input: NewCredential!): NewCredentialPayload!
    updateCredential(
      tenant: ID!
      device: ID!
      id: ID!
      expectedVersion: Int!
      patch: CredentialPatch!
    ): CredentialPayload!
    deleteCredential(tenant: ID!, device: ID!, id: ID!, expectedVersion: Int!): Deleted!
    "Trusted once possession of its key is proven"
    createTrustAnchor(tenant: ID!, input: NewTrustAnchor!): TrustAnchor!
    "With a certificate, PEM, that its key has signed and whose common name is the challenge"
    proveTrustAnchor(tenant: ID!, id: ID!, certificate: String!): TrustAnchor!
    updateTrustAnchor(
      tenant: ID!
      id: ID!
      expectedVersion: Int!
      patch: TrustAnchorPatch!
    ): TrustAnchorPayload!
    "By a revocation list, PEM or base64, that is newer than the one in force"
    revokeCertificates(tenant: ID!, id: ID!, crl: String!): TrustAnchorPayload!
    deleteTrustAnchor(tenant: ID!, id: ID!, expectedVersion: Int!): Deleted!
    createPolicy(tenant: ID!, input: NewPolicy!): Policy!
    updatePolicy(tenant: ID!, id: ID!, expectedVersion: Int!, patch: PolicyPatch!): PolicyPayload!
    "With activate, the new rules are in force at once"
    addPolicyVersion(tenant: ID!, policy: ID!, rules: JSON!, activate: Boolean = false): PolicyVersionPayload!
    "Any version there is: an older one rolls back"
    activatePolicyVersion(tenant: ID!, policy: ID!, expectedVersion: Int!, version: Int!): PolicyPayload!
    "Refused while it is bound, unless asked to end its bindings"
    deletePolicy(tenant: ID!, id: ID!, expectedVersion: Int!, unbind: Boolean = false): Deleted!
    bindPolicy(tenant: ID!, policy: ID!, targetKind: PolicyTargetKind!, target: ID!): PolicyBindingPayload!
    unbindPolicy(tenant: ID!, binding: ID!): Deleted!
    disconnectSession(tenant: ID!, clientId: String!): Disconnected!
  }

  "Over WebSocket at the same path, subprotocol graphql-transport-ws; connection_init carries { authorization: \\"Bearer moo_…\\" }"
  type Subscription {
    "Readings of a device as they are stored"
    telemetry(tenant: ID!, device: ID!): TelemetryReading!
    "Clients of the tenant, or of one device, as they come and go"
    presence(tenant: ID!, device: ID): Presence!
  }

  type PageInfo {
    hasNextPage: Boolean!
    endCursor: String
  }

  "operation: to be followed with Query.operation; null where no live connection can be concerned"
  type Deleted {
    id: ID!
    operation: ID
  }

  # ------------------------------------------------------------------------------------------------------------ tenants

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
  type TenantEdge {
    cursor: String!
    node: Tenant!
  }
  type TenantConnection {
    edges: [TenantEdge!]!
    pageInfo: PageInfo!
  }
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
    status: String
    limits: JSON
    settings: JSON
  }

  # ------------------------------------------------------------------------------------------------------------ devices

  type Profile {
    id: ID!
    name: String!
    telemetry: JSON!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }
  type ProfileEdge {
    cursor: String!
    node: Profile!
  }
  type ProfileConnection {
    edges: [ProfileEdge!]!
    pageInfo: PageInfo!
  }

  type Group {
    id: ID!
    name: String!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }
  type GroupEdge {
    cursor: String!
    node: Group!
  }
  type GroupConnection {
    edges: [GroupEdge!]!
    pageInfo: PageInfo!
  }

  type Device {
    id: ID!
    name: String!
    attributes: JSON!
    status: String!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
    profile: Profile!
    groups: [Group!]!
    credentials: [Credential!]!
    "One for each client identifier, the latest first; at most 20"
    presence: [Presence!]!
    latestTelemetry: TelemetryReading
  }
  type DeviceEdge {
    cursor: String!
    node: Device!
  }
  type DeviceConnection {
    edges: [DeviceEdge!]!
    pageInfo: PageInfo!
  }
  type DevicePayload {
    device: Device!
    operation: ID
  }
  input NewDevice {
    name: String!
    "Default: the tenant's default profile"
    profileId: ID
    attributes: JSON
    status: String
    groupIds: [ID!]
  }
  input DevicePatch {
    name: String
    profileId: ID
    "A member of null is removed"
    attributes: JSON
    status: String
    groupIds: [ID!]
  }

  type Credential {
    id: ID!
    deviceId: ID!
    kind: String!
    authId: String!
    "Of a certificate that is pinned: its SHA-256"
    fingerprint: String
    "Of certificates by name: the anchor they must lead to; null: any of the tenant's"
    anchorId: ID
    "What the device sends: authId@tenant-slug"
    username: String!
    clientIdRule: JSON!
    notBefore: DateTime
    notAfter: DateTime
    disabledAt: DateTime
    lastUsedAt: DateTime
    lastUsedFrom: String
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }
  type CredentialEdge {
    cursor: String!
    node: Credential!
  }
  type CredentialConnection {
    edges: [CredentialEdge!]!
    pageInfo: PageInfo!
  }
  type CredentialPayload {
    credential: Credential!
    operation: ID
  }
  type NewCredentialPayload {
    credential: Credential!
    "Shown this once; null of a certificate"
    password: String
  }
  input NewCredential {
    "password, or certificate"
    kind: String
    authId: String
    "PEM, to be pinned"
    certificate: String
    "SHA-256 of a certificate to be pinned"
    fingerprint: String
    anchorId: ID
    clientIdRule: JSON
    notBefore: DateTime
    notAfter: DateTime
  }
  "A date of null is removed"
  input CredentialPatch {
    clientIdRule: JSON
    notBefore: DateTime
    notAfter: DateTime
    disabled: Boolean
  }

  type TrustAnchor {
    id: ID!
    name: String!
    "pending, or trusted"
    state: String!
    "While pending: the common name to be signed"
    challenge: String
    provenAt: DateTime
    subject: String!
    certificate: String!
    fingerprint: String!
    publicKeyHash: String!
    notBefore: DateTime!
    notAfter: DateTime!
    identity: JSON!
    "refuse, grace or ignore"
    crlWhenStale: String!
    crlGraceS: Int!
    crl: RevocationList
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }
  type RevocationList {
    number: String!
    thisUpdate: DateTime!
    nextUpdate: DateTime!
    entries: Int!
  }
  type TrustAnchorEdge {
    cursor: String!
    node: TrustAnchor!
  }
  type TrustAnchorConnection {
    edges: [TrustAnchorEdge!]!
    pageInfo: PageInfo!
  }
  type TrustAnchorPayload {
    trustAnchor: TrustAnchor!
    operation: ID
  }
  input NewTrustAnchor {
    name: String!
    certificate: String!
    identity: JSON
    crlWhenStale: String
    crlGraceS: Int
  }
  input TrustAnchorPatch {
    name: String
    crlWhenStale: String
    crlGraceS: Int
  }

  # ----------------------------------------------------------------------------------------------------------- policies

  enum PolicyTargetKind {
    tenant
    group
    profile
    device
  }
  enum PolicyAction {
    connect
    publish
    subscribe
    receive
    retain
  }

  type Policy {
    id: ID!
    name: String!
    description: String!
    "The version whose rules are in force"
    activeVersion: Int!
    version: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
    "Those in force"
    rules: JSON!
  }
  type PolicyEdge {
    cursor: String!
    node: Policy!
  }
  type PolicyConnection {
    edges: [PolicyEdge!]!
    pageInfo: PageInfo!
  }
  type PolicyPayload {
    policy: Policy!
    operation: ID
  }
  input NewPolicy {
    name: String!
    description: String
    rules: JSON!
  }
  input PolicyPatch {
    name: String
    description: String
  }

  type PolicyVersion {
    policyId: ID!
    number: Int!
    rules: JSON!
    createdBy: String!
    createdAt: DateTime!
  }
  type PolicyVersionEdge {
    cursor: String!
    node: PolicyVersion!
  }
  type PolicyVersionConnection {
    edges: [PolicyVersionEdge!]!
    pageInfo: PageInfo!
  }
  type PolicyVersionPayload {
    policyVersion: PolicyVersion!
    operation: ID
  }

  type PolicyBinding {
    id: ID!
    policyId: ID!
    targetKind: PolicyTargetKind!
    targetId: ID!
    createdAt: DateTime!
  }
  type PolicyBindingEdge {
    cursor: String!
    node: PolicyBinding!
  }
  type PolicyBindingConnection {
    edges: [PolicyBindingEdge!]!
    pageInfo: PageInfo!
  }
  type PolicyBindingPayload {
    binding: PolicyBinding!
    operation: ID
  }

  input PolicyQuestion {
    deviceId: ID!
    action: PolicyAction!
    "The topic, or for subscribe the filter; connect needs none"
    topic: String
    clientId: String
    username: String
    qos: Int
    retain: Boolean
    payloadBytes: Int
  }
  type PolicyEvaluation {
    decision: String!
    action: PolicyAction!
    reason: String!
    rule: DecidingRule
    maxQos: Int
    "Of a refused filter: a topic it matches and that is not allowed"
    witness: String
  }
  type DecidingRule {
    policyId: ID!
    policyName: String!
    version: Int!
    "Place in the list of rules, from 0"
    index: Int!
    pattern: String!
  }

  # --------------------------------------------------------------------------------------------------------- the way back

  enum TelemetryOrder {
    newest
    oldest
  }
  type TelemetryReading {
    id: ID!
    deviceId: ID!
    receivedAt: DateTime!
    observedAt: DateTime
    topic: String!
    body: JSON
    "Base64 of a payload that cannot be kept as JSON"
    raw: String
    qos: Int!
  }
  type TelemetryEdge {
    cursor: String!
    node: TelemetryReading!
  }
  type TelemetryConnection {
    edges: [TelemetryEdge!]!
    pageInfo: PageInfo!
  }

  enum PresenceState {
    online
    offline
  }
  type Presence {
    clientId: String!
    deviceId: ID!
    state: PresenceState!
    cause: String!
    since: DateTime!
    epoch: String!
    detail: JSON!
    "Base64 of the payload of the will that this end set off"
    will: String
    device: Device!
  }
  type PresenceEdge {
    cursor: String!
    node: Presence!
  }
  type PresenceConnection {
    edges: [PresenceEdge!]!
    pageInfo: PageInfo!
  }
  type PresenceEvent {
    id: ID!
    clientId: String!
    deviceId: ID!
    state: PresenceState!
    cause: String!
    at: DateTime!
    epoch: String!
    detail: JSON!
    will: String
  }
  type PresenceEventEdge {
    cursor: String!
    node: PresenceEvent!
  }
  type PresenceEventConnection {
    edges: [PresenceEventEdge!]!
    pageInfo: PageInfo!
  }

  type Session {
    clientId: String!
    deviceId: ID!
    online: Boolean!
    since: DateTime
    connection: JSON!
    durable: Boolean!
    expiryIntervalS: Float
    expiresAt: DateTime
    createdAt: DateTime
    queuedMessages: Float!
  }
  type SessionEdge {
    cursor: String!
    node: Session!
  }
  type SessionConnection {
    edges: [SessionEdge!]!
    pageInfo: PageInfo!
  }
  type SessionDetail {
    clientId: String!
    deviceId: ID!
    online: Boolean!
    since: DateTime
    connection: JSON!
    durable: Boolean!
    expiryIntervalS: Float
    expiresAt: DateTime
    createdAt: DateTime
    queuedMessages: Float!
    queuedBytes: Float!
    "Durable ones, the first 1000 by filter"
    subscriptions: [SessionSubscription!]!
  }
  type SessionSubscription {
    filter: String!
    qos: Int!
    noLocal: Boolean!
    retainAsPublished: Boolean!
    retainHandling: Int!
    subscriptionId: Int
  }
  type Disconnected {
    clientId: String!
    operation: ID!
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
  type DenialEdge {
    cursor: String!
    node: Denial!
  }
  type DenialConnection {
    edges: [DenialEdge!]!
    pageInfo: PageInfo!
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
  type AuditEdge {
    cursor: String!
    node: AuditEntry!
  }
  type AuditConnection {
    edges: [AuditEdge!]!
    pageInfo: PageInfo!
  }

  type Operation {
    number: ID!
    "What kind of thing was changed"
    kind: String!
    "applying, or applied: every broker process that lives has it in force"
    status: String!
    createdAt: DateTime!
    waitingFor: [ID!]!
    sessionsTouched: Int!
    subscriptionsRemoved: Int!
    connectionsClosed: Int!
    willsSuppressed: Int!
    receipts: [Receipt!]!
  }
  type Receipt {
    processId: ID!
    appliedAt: DateTime!
    elapsedMs: Float!
    sessionsTouched: Int!
    subscriptionsRemoved: Int!
    connectionsClosed: Int!
    willsSuppressed: Int!
  }
`;
