/** Names under which the composition root (api.module.ts) provides what is made outside of Nest. */
export const STORE = Symbol('ControlStore');
export const SECRET_KEY = Symbol('SecretKey');
export const LOGGER = Symbol('Logger');
export const READINESS = Symbol('Readiness');
/** The way out to addresses that tenants name. */
export const EGRESS = Symbol('Egress');
export const ENDPOINTS = Symbol('Endpoints');
