/** The door of this library. */
export * from './client-id.js';
export * from './filter.js';
export * from './rules.js';
export * from './secret.js';
export * from './validity.js';
export * from './variables.js';
