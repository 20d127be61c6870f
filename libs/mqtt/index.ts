export * from './limits.js';
export * from './message.js';
export * from './ports.js';
export * from './reason.js';
