// A cosignature says that at its moment the log ended there. A node whose sealer stands still keeps none: an entry that waits would look
// as if it had been dated back.
import t from 'tap'
import { holdSealing } from '../audit/held-sealing.ts'
import { createNetwork, eventually, type Member, type NetworkOptions } from '../network.ts'
import { makeClock, portOf, readDirectory, readIdentity, seconds } from '../peer.ts'
import { type SeenCall, startPeerServer } from '../peer-server.ts'
import { cosign, readAuditKey } from '../witness-log.ts'
import { admin, grow, roundMs, sizeOf, statusOf } from './witness-network.ts'

const hosts = ['localhost', '127.0.0.1']
const members: Member[] = [
  { id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts },
  { id: 'lab', name: 'Laboratory', countries: ['PH'], hosts, runs: false },
]
const clock = makeClock()
const options: NetworkOptions = { members, witnessRoundMs: roundMs, peerWaitMs: 20_000, now: clock.now }
const network = await createNetwork(t, options)
const gb = network.get('hotline-gb')
const directory = () => readDirectory(network.folder)
const place = { port: portOf(directory(), 'lab'), clock, directory, node: gb.id }
const lab = await startPeerServer(t, { identity: readIdentity(network.folder, 'lab'), ...place })

const isSubmission = ({ path }: SeenCall) => path === '/federation/v1/witness'
const sizeIn = ({ body }: SeenCall) => Number(body.toString().split('\n\n')[1]?.split('\n')[1])
const asked = () => lab.calls.filter(isSubmission).length
let isSilent = false
/** A checkpoint of more than `above` entries is answered when this is done. */
let held = { above: Number.POSITIVE_INFINITY, until: Promise.resolve() }
let answered = 0
lab.misbehave = async (call, response) => {
  if (!isSubmission(call)) return false
  const text = `${call.body.toString().split('\n\n')[1]}\n`
  if (sizeIn(call) > held.above) await held.until
  const line = cosign(text, { name: 'lab/witness', key: readAuditKey(network.folder, 'lab'), seconds: seconds(place.clock) })
  if (isSilent) response.destroy()
  else response.writeHead(200, { 'content-type': 'text/plain' }).end(line)
  answered++
  return true
}
const cosignedSizes = async (): Promise<number[]> =>
  (await admin(gb, 'select size::int from crossline.cosignature order by size')).map(({ size }) => size)
const cosignedAll = () =>
  eventually(
    'all is cosigned',
    async () => (await cosignedSizes()).at(-1) === (await sizeOf(gb)) && !(await statusOf(gb)).audit.pending,
  )
const rounds = (count: number) => new Promise((resolve) => setTimeout(resolve, count * roundMs))
const looksOld = () => eventually('an entry waits for long', async () => (await statusOf(gb)).audit.oldestPendingS > 60)

t.test('while an entry has waited for over a minute nobody is asked to cosign', async (t) => {
  await grow(gb, 2)
  await cosignedAll()
  const release = await holdSealing(gb, 61)
  await looksOld()
  await rounds(2)
  const before = asked()
  await rounds(8)
  t.equal(asked(), before)
  await release()
  await cosignedAll()
  t.ok(asked() > before, 'then the witness is asked again')
})

t.test('what was asked before, and comes while an entry has waited for over a minute, is not kept', async (t) => {
  await cosignedAll()
  let answer = () => {}
  const until = new Promise<void>((resolve) => {
    answer = resolve
  })
  const size = await sizeOf(gb)
  held = { above: size, until }
  await grow(gb, 1)
  await eventually('the new checkpoint is asked for', async () =>
    lab.calls.some((call) => isSubmission(call) && sizeIn(call) > size),
  )
  const kept = await cosignedSizes()
  t.equal(kept.at(-1), size)
  const release = await holdSealing(gb, 61)
  await looksOld()
  const done = answered
  answer()
  await eventually('the witness has answered', async () => answered > done)
  await rounds(4)
  t.same(await cosignedSizes(), kept)
  t.match((await statusOf(gb)).witnesses.peers, [{ member: 'lab', failures: 0, lastError: null }], 'which is not its fault')
  t.same((await statusOf(gb)).securityEvents, [])
  await release()
  await cosignedAll()
})

t.test('a start asks with entries that have waited, which finds a rollback, and keeps no answer', async (t) => {
  await cosignedAll()
  isSilent = true
  await rounds(2)
  await grow(gb, 1)
  const kept = await cosignedSizes()
  t.ok((kept.at(-1) as number) < (await sizeOf(gb)), 'the newest checkpoint is not cosigned')
  const release = await holdSealing(gb, 61)
  await looksOld()
  await gb.stop()
  isSilent = false
  options.witnessPatienceMs = 3_600_000
  const done = answered
  await gb.start()
  await eventually('the witness has answered', async () => answered > done)
  await rounds(4)
  t.same(await cosignedSizes(), kept)
  await release()
  await eventually('its answer lets the sealing go on', async () => (await statusOf(gb)).audit.pending === 0)
  await cosignedAll()
})

t.test('when the clock was put forward, nobody is asked before what was written by the old time is sealed', async (t) => {
  await cosignedAll()
  const release = await holdSealing(gb, 0)
  const kept = await cosignedSizes()
  clock.advance(3_600_000)
  await rounds(2)
  const before = asked()
  await rounds(8)
  t.equal(asked(), before)
  t.same(await cosignedSizes(), kept)
  await release()
  await cosignedAll()
})
