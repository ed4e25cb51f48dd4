// kill -9 of PostgreSQL itself in the middle of a delivery, at either end: the node survives it, says so, and goes on when it is back.
import t from 'tap'
import { startMortalServer } from '../crash/mortal-server.ts'
import { holdTable, letTimePass, prepareProcesses } from '../crash/node-process.ts'
import { checkSettled, type Exchange, submit } from '../crash/outcome.ts'
import { createTestDatabase } from '../database.ts'
import { eventually } from '../network.ts'

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
