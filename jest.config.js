// ESM under Jest needs --experimental-vm-modules, which `npm test` sets.
export default {
  rootDir: '.',
  roots: ['<rootDir>/apps', '<rootDir>/libs', '<rootDir>/test'],
  globalSetup: '<rootDir>/test/support/global-setup.js',
  globalTeardown: '<rootDir>/test/support/global-teardown.js',
  testEnvironment: 'node',
  testMatch: ['**/*.spec.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^#(mqtt|access|store|process)$': '<rootDir>/libs/$1/index.ts',
    '^#mqtt/testing$': '<rootDir>/libs/mqtt/testing/index.ts',
  },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        swcrc: false,
        sourceMaps: 'inline',
        module: { type: 'es6' },
        jsc: {
          target: 'es2024',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
          keepClassNames: true,
        },
      },
    ],
  },
  // `npm run coverage:mqtt`. Babel's counters are put into what SWC has made and mapped back: statements, not lines.
  coverageProvider: 'babel',
  collectCoverageFrom: ['libs/mqtt/**/*.ts', '!**/*.spec.ts', '!libs/mqtt/testing/**'],
  coverageReporters: ['text'],
  coverageThreshold: { global: { statements: 95 } },
  reporters: ['default', '<rootDir>/test/support/tally-reporter.js'],
  // Only what hangs is ended: how long a test takes is the machine's matter, which may be slow, or busy with others.
  testTimeout: 180_000,
  // Half of the time a suite waits for processes it has started; Jest's default on two cores is one worker.
  maxWorkers: 2,
};
