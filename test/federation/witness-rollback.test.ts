// A log that an administrator took back to last night's dump: its witness notices, its node halts, both keep the notes that show it.
import t, { type Test } from 'tap'
import { eventually, never } from '../network.ts'
import { takeDump } from './last-night.ts'
import { admin, cosignedBy, countEvents, evidenceOf, grow, roundMs, sizeOf, startNetwork, statusOf } from './witness-network.ts'

/** A witness holds what was cosigned; then the log goes back to the dump, and grows anew by `regrown` entries before anybody is asked. */
async function takeBack(t: Test, { regrown }: { regrown: number }) {
  const { network, options } = await startNetwork(t, 2)
  const [gb, se] = [network.get('hotline-gb'), network.get('hotline-se')]
  await grow(gb, 2)
  await gb.stop()
  const restore = await takeDump(t, gb)
  await gb.start()
  await grow(gb, 5)
  await cosignedBy(gb, 'hotline-se', await sizeOf(gb))
  await gb.stop()
  options.witnessRoundMs = never
  const [{ size: held }] = (await admin(se, "select size::int from crossline.peer_log where member = 'hotline-gb'")) as [
    { size: number },
  ]
  await restore()
  await gb.start()
  if (regrown > 0) await grow(gb, regrown)
  const size = await sizeOf(gb)
  await gb.stop()
  options.witnessRoundMs = roundMs
  await gb.start()
  const { audit } = await eventually('sealing halts', async () => {
    const status = await statusOf(gb)
    return status.audit.halted && status
  })
  return { gb, se, audit, held, size }
}

t.test('a log that was taken back to last night is noticed by its witness, and its node halts', async (t) => {
  const { gb, se, audit, held, size } = await takeBack(t, { regrown: 0 })
  t.ok(size < held)
  t.match(audit, { halted: { why: 'rollback' } })
  const [own, ...others] = await evidenceOf(gb)
  t.same(others, [])
  t.match(own, { kind: 'rollback', member: 'hotline-se' })
  t.match(own.first_note, `\n${held}\n`, 'what we had signed')
  t.notOk(own.second_note.includes(`\n${held}\n`))
  t.match(await evidenceOf(se), [{ kind: 'rollback', member: 'hotline-gb', first_note: own.first_note }])
  t.equal(await countEvents(gb, 'own_log_rollback'), 1)
  t.ok((await countEvents(se, 'checkpoint_rollback')) >= 1)
  for (const [member, { id }] of [
    [gb, own],
    [se, (await evidenceOf(se))[0]],
  ] as const)
    t.ok(
      member.logLines.some((line) => line.includes(`"evidence":${id}`) && line.includes('"level":"error"')),
      'the log names it',
    )
  const calls = (await evidenceOf(se)).length
  await new Promise((resolve) => setTimeout(resolve, 4 * roundMs))
  t.equal((await evidenceOf(se)).length, calls, 'who has halted asks nobody any more')
})

t.test('a log that was taken back and grew again past its witness is noticed on both sides', async (t) => {
  const { gb, se, audit, held, size } = await takeBack(t, { regrown: 60 })
  t.ok(size > held)
  t.match(audit, { halted: { why: 'fork' } })
  t.match(await evidenceOf(gb), [{ kind: 'fork', member: 'hotline-se' }])
  t.match(await evidenceOf(se), [{ kind: 'broken_proof', member: 'hotline-gb' }])
  t.equal(await countEvents(gb, 'own_log_fork'), 1)
  t.equal(await countEvents(se, 'checkpoint_broken_proof'), 1)
  t.match(
    await admin(se, "select size::int from crossline.peer_log where member = 'hotline-gb'"),
    [{ size: held }],
    'the witness holds on to what it has seen',
  )
})
