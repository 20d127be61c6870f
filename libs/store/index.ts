/** The door of this library. */
export * from './control-store.js';
export * from './errors.js';
export * from './fences.js';
export * from './api-keys.js';
export * from './tenants.js';
export * from './kept-requests.js';
