// A peer that could not be reached and then answers anything verified is delivered to at once; a wait that it asked for goes on.
import t from 'tap'
import { withClient } from '#storage/admin-client.ts'
import { eventually } from '../network.ts'
import type { Misbehaviour } from '../peer-server.ts'
import { onBatch } from './receipts.ts'
import { startSender } from './sender.ts'

const sender = await startSender(t)
const { gb, lab, se, clock, submit, statesOf, statusOf, failsBy } = sender
const dayMs = 24 * 3_600_000

/** Serves the directory, as every node does, and otherwise behaves as told. */
function serveDirectory(otherwise?: Misbehaviour): void {
  lab.misbehave = async (call, response, peer) => {
    if (call.path !== '/federation/v1/directory') return (await otherwise?.(call, response, peer)) ?? false
    response.writeHead(200, { 'content-type': 'application/jose+json' }).end(sender.directory().bytes)
    return true
  }
}

/** As after days of failing, so that nothing else brings the next try. */
async function waitLong(): Promise<void> {
  const retryAt = new Date(clock.now().getTime() + dayMs)
  await withClient(gb.database.adminUrl, (client) =>
    client.query("update crossline.peer set retry_at = $1 where member = 'lab'", [retryAt]),
  )
}

/** The node asks somebody for the directory; only the laboratory is there to answer. */
async function fetchDirectory(): Promise<void> {
  const asked = () => lab.calls.filter(({ path }) => path === '/federation/v1/directory').length
  const before = asked()
  clock.advance(60_000)
  await eventually('the directory is fetched', async () => asked() > before)
}

t.test('a directory fetched from the peer ends the wait', async (t) => {
  await se.close()
  await lab.close()
  const ids = await submit(2)
  await failsBy('refused')
  await waitLong()
  const { peer } = await statusOf()
  t.match(peer, { state: 'backing_off', inFlight: 2, failures: Number }, 'it waits, and does not probe')
  t.ok(Date.parse(peer.retryAt) > clock.now().getTime())
  serveDirectory()
  await lab.open()
  await fetchDirectory()
  await eventually('it is delivered', async () => (await statesOf(ids)).every((state) => state === 'delivered'))
  await eventually('it is open', async () => (await statusOf()).peer.state === 'open')
})

t.test('but not a wait that it asked for', async (t) => {
  const refuse = { code: 'overloaded', status: 503, retryAfter: 900 }
  serveDirectory(onBatch((call, response, peer) => void peer.refuse(call, response, refuse)))
  const ids = await submit(1)
  await failsBy('overloaded')
  serveDirectory()
  const { peer } = await statusOf()
  t.match(peer, { state: 'backing_off', inFlight: 1, failures: 1 }, 'one message on its way is no probe while it waits')
  await fetchDirectory()
  await new Promise((resolve) => setTimeout(resolve, 1500))
  t.same(await statesOf(ids), ['sent'])
  t.equal((await statusOf()).peer.retryAt, peer.retryAt)
})
