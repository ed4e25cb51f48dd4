// kill -9 of either node in the middle of a delivery, at each step: before it sends, sent and not stored, stored and not answered, answered
// and not recorded. Real processes, real databases; locks and a held line bring them to the exact step from outside.
import t from 'tap'
import { countBlocked, holdTable, letTimePass, prepareProcesses } from '../crash/node-process.ts'
import { checkSettled, count, type Exchange, submit } from '../crash/outcome.ts'
import { createTestDatabase } from '../database.ts'
import { eventually } from '../network.ts'

t.test('kill -9 in the middle of a delivery loses nothing and doubles nothing', async (t) => {
  const nodes = await prepareProcesses(t, () => createTestDatabase(t))
  const exchange = { sender: nodes.get('hotline-gb'), receiver: nodes.get('hotline-se'), items: [] } as unknown as Exchange
  const { sender, receiver } = exchange
  const sent = sender.database
  const stored = receiver.database
  const batches = () => count(sent.database, 'outbound_batch')
  const inbound = () => count(stored.database, 'inbound_batch')
  const restart = async (node = sender) => {
    await node.kill()
    await letTimePass(node.database)
    await node.start()
  }
  await Promise.all([sender.start(), receiver.start()])

  /** Brings a new report to where the receiver has stored its batch and the answer is held on the line. */
  const submitUntilAnswerHeld = async () => {
    const before = await inbound()
    const storing = await holdTable(stored.adminUrl, 'inbound_batch')
    await submit(exchange)
    await storing.untilSomebodyWaits()
    receiver.line.holdAnswers()
    await storing.release()
    await eventually('the batch is stored', async () => (await inbound()) === before + 1)
  }
  const breakLine = () => {
    receiver.line.cut()
    receiver.line.pass()
  }

  await t.test('the sender, while it cuts the batch', async (t) => {
    const cutting = await holdTable(sent.adminUrl, 'outbound_batch')
    await submit(exchange)
    await cutting.untilSomebodyWaits()
    await sender.kill()
    await cutting.release()
    t.equal(await batches(), 0, 'nothing was cut')
    await restart()
    await checkSettled(t, exchange)
  })

  await t.test('the sender, before a cut batch leaves the house', async (t) => {
    const [cut, here] = [await batches(), await inbound()]
    receiver.line.holdRequests()
    await submit(exchange)
    await eventually('the batch is cut', async () => (await batches()) === cut + 1)
    await sender.kill()
    breakLine()
    t.equal(await inbound(), here, 'the receiver never saw it')
    await restart()
    await checkSettled(t, exchange)
    t.equal(await batches(), cut + 1, 'the same batch went out after the restart')
  })

  await t.test('the sender, sent and not stored: both copies of the batch arrive at once', async (t) => {
    const storing = await holdTable(stored.adminUrl, 'inbound_batch')
    await submit(exchange)
    await storing.untilSomebodyWaits()
    await restart()
    const repeated = 'outbound_batch where receipt is null and cardinality(proofs) > 1'
    await eventually('the second copy is on its way behind the first', async () => (await count(sent.database, repeated)) === 1)
    await storing.release()
    await checkSettled(t, exchange)
  })

  await t.test('the sender, stored and not answered', async (t) => {
    await submitUntilAnswerHeld()
    await sender.kill()
    breakLine()
    await restart()
    await checkSettled(t, exchange)
  })

  await t.test('the sender, answered and not recorded', async (t) => {
    await submitUntilAnswerHeld()
    const recording = await holdTable(sent.adminUrl, 'outbound_batch')
    receiver.line.pass()
    await recording.untilSomebodyWaits()
    await sender.kill()
    await recording.release()
    t.equal(await count(sent.database, 'outbound_batch where receipt is null'), 1, 'the receipt was not recorded')
    await restart()
    await checkSettled(t, exchange)
  })

  await t.test('the receiver, before anything is sent', async (t) => {
    await receiver.kill()
    await submit(exchange)
    await eventually('a delivery failed', async () => (await count(sent.database, 'peer where failures > 0')) === 1)
    await receiver.start()
    await checkSettled(t, exchange)
  })

  await t.test('the receiver, sent and not stored', async (t) => {
    const here = await inbound()
    const storing = await holdTable(stored.adminUrl, 'inbound_batch')
    await submit(exchange)
    await storing.untilSomebodyWaits()
    await receiver.kill()
    await storing.release()
    await eventually('its transaction is gone', async () => (await countBlocked(stored.adminUrl)) === 0)
    t.equal(await inbound(), here, 'nothing was stored')
    await receiver.start()
    await checkSettled(t, exchange)
  })

  await t.test('the receiver, stored and not answered', async (t) => {
    await submitUntilAnswerHeld()
    await receiver.kill()
    breakLine()
    await receiver.start()
    await checkSettled(t, exchange)
  })

  await t.test('the receiver, answered and not recorded', async (t) => {
    await submitUntilAnswerHeld()
    const recording = await holdTable(sent.adminUrl, 'outbound_batch')
    receiver.line.pass()
    await recording.untilSomebodyWaits()
    await receiver.kill()
    await recording.release()
    await checkSettled(t, exchange)
    await receiver.start()
  })

  await t.test('both at once, and what follows still flows', async (t) => {
    await submitUntilAnswerHeld()
    await Promise.all([sender.kill(), receiver.kill()])
    breakLine()
    await letTimePass(sent)
    await receiver.start()
    await sender.start()
    await submit(exchange)
    await checkSettled(t, exchange)
  })
})
