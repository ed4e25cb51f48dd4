// A process that has just started signs nothing before it has asked its witnesses about what it holds: database and files that were both
// taken back look whole from inside.
import t from 'tap'
import { eventually, type RunningMember, reportOf } from '../network.ts'
import { takeDump } from './last-night.ts'
import { admin, cosignedBy, grow, roundMs, sizeOf, startNetwork, statusOf } from './witness-network.ts'

const checkpointsOf = async (member: RunningMember): Promise<string[]> =>
  (await admin(member, 'select note from crossline.audit_checkpoint order by year, size')).map(({ note }) => String(note))
const item = { contentType: 'media', statedCountry: { country: 'GB', by: 'an-1', reason: 'seen there' } }
const report = (member: RunningMember) => member.call('hotline', 'POST', '/v1/reports', reportOf([item]))
const goesOn = (member: RunningMember) => member.logLines.some((line) => line.includes('sealing goes on unasked'))

t.test('a node that was taken back with all its files halts before it signs a second history', async (t) => {
  const { network, options } = await startNetwork(t, 2)
  const gb = network.get('hotline-gb')
  await grow(gb, 2)
  await gb.stop()
  const restore = await takeDump(t, gb)
  await gb.start()
  await grow(gb, 5)
  await cosignedBy(gb, 'hotline-se', await sizeOf(gb))
  await gb.stop()
  const signed = await checkpointsOf(gb)
  await restore()
  const restored = await checkpointsOf(gb)
  t.ok(restored.length > 0 && restored.length < signed.length)
  // Without asking first, seconds would go by in which the node signs.
  options.witnessRoundMs = 3000
  await gb.start()
  t.equal((await report(gb)).status, 201)
  const { audit } = await eventually('sealing halts', async () => {
    const status = await statusOf(gb)
    return status.audit.halted && status
  })
  t.match(audit, { halted: { why: 'rollback' } })
  t.same(await checkpointsOf(gb), restored, 'nothing new is signed')
})

t.test('a node waits for its witness, and seals as soon as that has answered', async (t) => {
  const { network, options } = await startNetwork(t, 2)
  const [gb, se] = [network.get('hotline-gb'), network.get('hotline-se')]
  await grow(gb, 2)
  await gb.stop()
  await se.stop()
  const signed = await checkpointsOf(gb)
  // Which the test does not live to see.
  options.witnessPatienceMs = 3_600_000
  await gb.start()
  t.equal((await report(gb)).status, 201)
  await new Promise((resolve) => setTimeout(resolve, 10 * roundMs))
  t.same(await checkpointsOf(gb), signed, 'nothing new is signed')
  await se.start()
  await eventually('the log grows', async () => (await checkpointsOf(gb)).length > signed.length)
  t.notOk(goesOn(gb))
})

t.test('a node whose peers are all down seals on by itself after a while, and says so', async (t) => {
  const { network, options } = await startNetwork(t, 2)
  const [gb, se] = [network.get('hotline-gb'), network.get('hotline-se')]
  await grow(gb, 2)
  await gb.stop()
  await se.stop()
  options.witnessPatienceMs = 500
  await gb.start()
  await grow(gb, 2)
  t.ok(goesOn(gb))
  t.equal((await statusOf(gb)).audit.halted, null)
})
