// Holds the tests' database server as long as the process that spawned it lives, and then lets go. The pipe closes however that process
// ends, by Ctrl-C or kill -9 too, so that no run of tests leaves a server behind.
import { startEmbeddedServer } from '#storage/embedded-server.ts'

const server = await startEmbeddedServer({ dataDir: process.argv[2] ?? '' })
process.stdin.on('close', () => void server.stop())
process.stdin.resume()
