// What `npm start` runs. The version is checked before anything else is loaded: our code does not parse everywhere.
const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  console.error(
    `Moorage needs Node 24 and this is ${process.version}. \`npm start\` brings its own: run that, after \`npm ci\`.`,
  );
  process.exit(1);
}
const { runSupervisor } = await import('./supervisor.js');
await runSupervisor();
