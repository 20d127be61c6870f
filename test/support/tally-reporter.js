/** The last line of a test run, below Jest's own summary: what a person, or a program, looks for first. */
export default class TallyReporter {
  onRunComplete(_contexts, results) {
    // A suite that could not be loaded has failed too, though none of its tests has run.
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    // Jest's summary is written after all reporters have been asked.
    process.once('exit', () => process.stderr.write(`${results.numPassedTests} passed, ${failed} failed\n`));
  }
}
