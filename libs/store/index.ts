/** The door of this library. */
export * from './control-store.js';
export * from './errors.js';
export * from './fences.js';
