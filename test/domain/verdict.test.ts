// What is told of many faults: the first one in the order in which audit.md checks, and one exit code.
import t from 'tap'
import { collectFaults, exitCodes, type Fault, stages } from '#domain/verdict.ts'

const fault = (change: Partial<Fault>): Fault => ({ stage: 'inclusion', kind: 'tampered', says: 'x', ...change })

t.test('tells the first fault in the order of the checks, whatever the order in which they were found', async (t) => {
  t.same(stages, ['read', 'quorum', 'signature', 'root', 'inclusion', 'consistency', 'chain', 'disclosure', 'time'])
  for (const order of [stages, stages.toReversed(), stages.toSorted()]) {
    const faults = collectFaults()
    for (const stage of order) faults.add(fault({ stage }))
    t.same(
      faults.list().map(({ stage }) => stage),
      stages,
    )
  }
})

t.test('each verdict has its exit code, and an alteration weighs more than a gap', async (t) => {
  t.same(exitCodes, { valid: 0, tampered: 1, incomplete: 2, unreadable: 3 })
  const faults = collectFaults()
  t.equal(faults.verdict(), 'valid')
  for (const kind of ['incomplete', 'tampered', 'unreadable'] as const) {
    faults.add(fault({ kind, stage: 'time' }))
    faults.add(fault({ kind: 'incomplete', stage: 'read' }))
    t.equal(faults.verdict(), kind)
  }
})

t.test('a million faults need no more memory than the first of each kind', async (t) => {
  const faults = collectFaults()
  for (let index = 0; index < 1_000_000; index++) faults.add(fault({ index }))
  t.equal(faults.count, 1_000_000)
  t.same(
    faults.list().map(({ index }) => index),
    [0, 1, 2],
  )
})
