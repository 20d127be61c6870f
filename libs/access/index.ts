/** The door of this library. */
export {
  addressRangeSchema,
  addressRulesSchema,
  AddressFence,
  AddressSet,
  describeAddressFault,
  normalizeAddress,
  normalizeRange,
} from './address.js';
export type { AddressRules } from './address.js';
export { describeBan } from './ban.js';
export {
  anchorHints,
  clientFault,
  commonNameOf,
  findPath,
  provenUntil,
  readChain,
  stalePolicies,
  standingOf,
} from './certificate.js';
export type {
  CertificateFault,
  CertificatePath,
  PresentedChain,
  RevocationState,
  StalePolicy,
  TrustedAuthority,
} from './certificate.js';
export { chosenPasswordLimits, hashPassword, passwordFault, verifyPassword } from './chosen-password.js';
export type { PasswordFault } from './chosen-password.js';
export { assignClientId, clientIdRuleSchema, mayUseClientId } from './client-id.js';
export type { ClientIdRule } from './client-id.js';
export { isConditional, settle, transportsOf } from './conditions.js';
export type { Circumstances, TransportName } from './conditions.js';
export {
  deviceNameOf,
  isDeviceName,
  maxDeviceNameBytes,
  namePatternSchema,
  nameTemplateSchema,
} from './device-name.js';
export { ruleDifference } from './difference.js';
export type { RuleDifference } from './difference.js';
export { explain } from './explain.js';
export type { Explanation, Question, UnmetRule } from './explain.js';
export { filterFault, isMqttText, isSubscription, isTopic } from './filter.js';
export {
  issueCertificate,
  makeAuthority,
  readRequest,
  revocationReasons,
  signRevocationList,
} from './issuing.js';
export type { CertificateRequest, IssuingKey, RequestFault, RevokedEntry } from './issuing.js';
export { maxOcspAnswerBytes, ocspQuestion, readOcspAnswer } from './ocsp.js';
export type { OcspAnswer } from './ocsp.js';
export { compile, grantingInPart, RuleSet, underOtherRules } from './policy.js';
export type { CompiledPolicy, PolicyDocument } from './policy.js';
export { actions, checkRules, ruleLimits, ruleSchema } from './rules.js';
export type { Action, Rule } from './rules.js';
export {
  deriveVerifiers,
  isScramMethod,
  nobodysVerifier,
  scramMethods,
  ScramServer,
  scramVerifiersSchema,
} from './scram.js';
export type { ScramMethod, ScramVerifier } from './scram.js';
export { seal, unseal } from './seal.js';
export type { SealPlace } from './seal.js';
export { generateSecret, hashSecret, prepareSecretKey, verifySecret } from './secret.js';
export { suggestRules } from './suggest.js';
export type { Deed } from './suggest.js';
export { isOfServer, telemetryRulesSchema } from './telemetry.js';
export type { TelemetryRule } from './telemetry.js';
export {
  issuerOf,
  maxTokenBytes,
  readKeySet,
  readPublicKey,
  thumbprintOf,
  tokenAlgorithms,
  tokenIdentitySchema,
  verifyByKey,
  verifyByKeySet,
} from './token.js';
export type { KeySet, TokenClaims, TokenFault, TokenIdentity, TokenRules } from './token.js';
export { anchorFault, identityOf, identityTemplateSchema, possessionFault } from './trust-anchor.js';
export type { Identity, IdentityTemplate } from './trust-anchor.js';
export { validityAt } from './validity.js';
export type { Validity } from './validity.js';
export { isExpandable, isTopicWord } from './variables.js';
export type { Variables } from './variables.js';
export type { Origin } from './verdict.js';
export { isSignedBy, maxRevocationListBytes, readRevocationList } from './revocation-list.js';
export type { RevocationList, RevocationListFault } from './revocation-list.js';
export { readCertificate } from './x509.js';
export type { Certificate, NameSource } from './x509.js';
