// kill -9 of PostgreSQL itself in the middle of a delivery, at either end: the node survives it, says so, and goes on when it is back.
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { openDatabase } from '#storage/database.ts'
import { type EmbeddedServer, ensureDatabase, startEmbeddedServer } from '#storage/embedded-server.ts'
import { prepareDatabase } from '#storage/prepare-database.ts'
import { createTestDatabase, migrationsFolder, type Teardown } from '../database.ts'
import { eventually, freePort } from '../network.ts'
import { makeFolder, waitForEnd } from '../storage/fixtures.ts'
import { type HeldLine, openHeldLine } from './held-line.ts'
import { holdTable, letTimePass, type NodeDatabase, prepareProcesses } from './node-process.ts'
import { checkSettled, type Exchange, submit } from './outcome.ts'

/** A server of its own, which a test may kill. It comes back on another port; the line in front of it keeps the address. */
interface MortalServer extends NodeDatabase {
  kill(): Promise<void>
  start(): Promise<void>
}

async function startMortalServer(t: Teardown): Promise<MortalServer> {
  const dataDir = makeFolder(t)
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

t.test('a database that is killed at the receiver, while it stores', async (t) => {
  const mortal = await startMortalServer(t)
  const nodes = await prepareProcesses(t, ({ id }) => (id === 'hotline-se' ? Promise.resolve(mortal) : createTestDatabase(t)))
  const exchange = { sender: nodes.get('hotline-gb'), receiver: nodes.get('hotline-se'), items: [] } as unknown as Exchange
  const { sender, receiver } = exchange
  await Promise.all([sender.start(), receiver.start()])
  const storing = await holdTable(mortal.adminUrl, 'inbound_batch')
  await submit(exchange)
  await storing.untilSomebodyWaits()
  await mortal.kill()
  await storing.release()
  await eventually('the node says that it is broken', async () => (await receiver.call('GET', '/v1/items')).status >= 500)
  t.ok(receiver.isRunning(), 'the node survives')
  await mortal.start()
  await letTimePass(sender.database)
  await checkSettled(t, exchange)
  t.ok(receiver.isRunning())
})

t.test('a database that is killed at the sender, while it records the receipt', async (t) => {
  const mortal = await startMortalServer(t)
  const nodes = await prepareProcesses(t, ({ id }) => (id === 'hotline-gb' ? Promise.resolve(mortal) : createTestDatabase(t)))
  const exchange = { sender: nodes.get('hotline-gb'), receiver: nodes.get('hotline-se'), items: [] } as unknown as Exchange
  const { sender, receiver } = exchange
  await Promise.all([sender.start(), receiver.start()])
  const storing = await holdTable(receiver.database.adminUrl, 'inbound_batch')
  await submit(exchange)
  await storing.untilSomebodyWaits()
  const recording = await holdTable(mortal.adminUrl, 'outbound_batch')
  await storing.release()
  await recording.untilSomebodyWaits()
  await mortal.kill()
  await recording.release()
  await eventually('the node says that it is broken', async () => (await sender.call('GET', '/v1/items')).status >= 500)
  t.ok(sender.isRunning(), 'the node survives')
  await mortal.start()
  await eventually('the database answers', async () =>
    letTimePass(mortal).then(
      () => true,
      () => false,
    ),
  )
  await checkSettled(t, exchange)
  t.ok(sender.isRunning())
})
