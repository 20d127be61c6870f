/** The door for tests: ports in memory, a clock that is told the time, and the contract suites. Needs Jest's environment. */
export * from './bytes.js';
export * from './fake-clock.js';
export * from './harness.js';
export * from './journal-contract.js';
export * from './memory-journal.js';
export * from './memory-news.js';
export * from './memory-store.js';
export * from './memory-vault.js';
export * from './test-gate.js';
export * from './test-link.js';
export * from './vault-contract.js';
