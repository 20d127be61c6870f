/** The last line of a test run: what a person, or a program, looks for first. */
export default class TallyReporter {
  onRunComplete(_contexts, results) {
    // A suite that could not be loaded has failed too, though none of its tests has run.
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    process.stderr.write(`${results.numPassedTests} passed, ${failed} failed\n`);
  }
}
