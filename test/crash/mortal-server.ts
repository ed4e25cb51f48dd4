// A database server of its own, which a test may kill and start again while others go on using its address.
import { randomBytes } from 'node:crypto'
import { openDatabase } from '#storage/database.ts'
import { type EmbeddedServer, ensureDatabase, startEmbeddedServer } from '#storage/embedded-server.ts'
import { prepareDatabase } from '#storage/prepare-database.ts'
import { migrationsFolder, type Teardown } from '../database.ts'
import { freePort } from '../network.ts'
import { isRunning, makeFolder, waitForEnd } from '../storage/fixtures.ts'
import { type HeldLine, openHeldLine } from './held-line.ts'
import type { NodeDatabase } from './node-process.ts'

/** A server of its own, which a test may kill. It comes back on another port; the line in front of it keeps the address. */
export interface MortalServer extends NodeDatabase {
  kill(): Promise<void>
  isRunning(): boolean
  start(): Promise<void>
}

export async function startMortalServer(t: Teardown, dataDir = makeFolder(t)): Promise<MortalServer> {
  let server = await startEmbeddedServer({ dataDir })
  t.teardown(() => server.stop())
  const line = await openHeldLine(t, { port: await freePort(), target: server.port })
  const adminUrl = through(line, await ensureDatabase(server.adminUrl, 'crossline_mortal'))
  const { serviceUrl } = await prepareDatabase({
    url: adminUrl,
    folder: migrationsFolder,
    servicePassword: randomBytes(16).toString('hex'),
  })
  const database = openDatabase({ url: serviceUrl, applicationName: 'crash test' })
  t.teardown(() => database.close())
  return {
    url: serviceUrl,
    adminUrl,
    database,
    kill: async () => {
      process.kill(server.pid, 'SIGKILL')
      await waitForEnd(server.pid)
    },
    isRunning: () => isRunning(server.pid),
    start: async () => {
      server = await restart(server, dataDir)
      line.target = server.port
    },
  }
}

function through(line: HeldLine, url: string): string {
  const changed = new URL(url)
  changed.port = String(line.port)
  return changed.href
}

async function restart(dead: EmbeddedServer, dataDir: string): Promise<EmbeddedServer> {
  const server = await startEmbeddedServer({ dataDir })
  await dead.stop()
  return server
}
