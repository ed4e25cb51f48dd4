// Loaded before each test file: what a test starts runs as people run it. tap would load its own hooks into every Node process below
// it, which takes a third of a second each and breaks a process that may read nothing else.
const watching = (globalThis as Record<symbol, unknown>)[Symbol.for('process-on-spawn@*:singletonId')]
if (watching) (watching as { listeners: unknown[] }).listeners.length = 0
