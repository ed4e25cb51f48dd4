// A process of its own that starts the embedded server on a data folder, says so, and lives until it is told to stop, or killed.
import { startEmbeddedServer } from '#storage/embedded-server.ts'

const server = await startEmbeddedServer({ dataDir: process.argv[2] ?? '' })
console.log(JSON.stringify({ adminUrl: server.adminUrl, pid: server.pid, startedHere: server.startedHere }))
process.stdin.on('data', async () => {
  await server.stop()
  process.exit(0)
})
