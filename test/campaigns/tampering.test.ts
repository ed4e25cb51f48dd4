// Each way of tampering with the log of a hotline as its superuser, on real hotlines that witness each other: `fsck`, a liaison's offline
// verifier or a peer shows it. After each, the logs of the hotlines that nobody touched are verified whole.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Stage } from '#domain/verdict.ts'
import { envOf } from '../audit/erasing.ts'
import {
  type Copy,
  copyOf,
  exportAndVerify,
  fsck,
  type Looked,
  moveLeaves,
  rebuild,
  withNode,
  writePolicy,
} from '../audit/tampering.ts'
import { admin, cosignedBy, evidenceOf, grow, sizeOf, startNetwork, statusOf } from '../federation/witness-network.ts'
import { eventually, never, type RunningMember } from '../network.ts'

const { network, options } = await startNetwork(t, 3)
const [gb, se, jp] = ['hotline-gb', 'hotline-se', 'hotline-jp'].map((id) => network.get(id)) as [
  RunningMember,
  RunningMember,
  RunningMember,
]
const peers = [se, jp]
const policy = writePolicy(network, { log: gb.id, witnesses: peers.map(({ id }) => id) })
const since = join(network.folder, 'kept.checkpoint')

/** The newest checkpoint of a log that both of its witnesses have cosigned, with their lines. */
const newestWitnessed = `select p.size::int, p.note || string_agg(c.line, '' order by c.witness) as note from crossline.audit_checkpoint p
  join crossline.cosignature c using (year, size) group by p.year, p.size, p.note having count(*) = 2 order by p.size desc limit 1`

const witnessed = async (member: RunningMember, least: number): Promise<{ size: number; note: string }> =>
  eventually(`${member.id} is witnessed by both`, async () => {
    const [found] = await admin(member, newestWitnessed)
    return found?.size >= least && found
  })

// Last night's copy, then more; a liaison keeps the checkpoint of this morning.
for (const member of [gb, se, jp]) await grow(member, 2)
for (const member of [gb, se, jp]) await witnessed(member, await sizeOf(member))
await gb.stop()
const lastNight = () => copyOf(t, network, gb)
const older = [await lastNight(), await lastNight()] as [Copy, Copy]
await gb.start()
await grow(gb, 6)
const kept = await witnessed(gb, await sizeOf(gb))
writeFileSync(since, kept.note)
// From here on only the log of the attacker is shown to peers, and only when a test does it.
options.witnessRoundMs = never
for (const member of [gb, ...peers]) await member.stop()
for (const peer of peers) await peer.start()

/** Nobody else's log has lost anything by it. */
async function untouched(t: Test): Promise<void> {
  for (const peer of peers) {
    const found = await fsck(envOf(network, peer))
    t.equal(found.exitCode, 0, `the log of ${peer.id} is valid: ${JSON.stringify(found.faults)}`)
    t.ok(found.counts.entries > 4)
  }
}

function shows(t: Test, found: Looked, fault: { exitCode: number; stage: Stage; index?: number; says?: RegExp }): void {
  const { exitCode, ...first } = fault
  t.equal(found.exitCode, exitCode, JSON.stringify(found.faults))
  t.ok(
    found.faults.some(
      ({ stage, index, says }) => stage === first.stage && (first.index ?? index) === index && (first.says?.test(says) ?? true),
    ),
    `a fault of ${first.stage}: ${JSON.stringify(found.faults)}`,
  )
}

// The first entry that is the last one of its item.
const [{ place }] = await admin(
  gb,
  "select min(l.leaf_index)::int as place from crossline.audit_leaf l join crossline.audit_entry e on e.id = l.entry_id where e.event = 'item.routed'",
)
const at = (index: number) => `(select entry_id from crossline.audit_leaf where leaf_index = ${index})`

t.test('the log that nobody has tampered with is valid, by every check that follows', async (t) => {
  const copy = await copyOf(t, network, gb)
  t.match(await fsck(copy.env), { exitCode: 0 })
  t.match(await exportAndVerify(copy, { policy, since }), { exitCode: 0, since: 'extended', complete: 'log' })
  await untouched(t)
})

t.test('an edited entry is shown by fsck and by the verifier, with its place', async (t) => {
  const copy = await copyOf(t, network, gb)
  await copy.change(
    'audit_entry',
    `update crossline.audit_entry set entry = convert_to(regexp_replace(convert_from(entry, 'UTF8'), '"at":"20..', '"at":"2019'), 'UTF8') where id = ${at(place)}`,
  )
  shows(t, await fsck(copy.env), { exitCode: 1, stage: 'inclusion', index: place })
  shows(t, await exportAndVerify(copy, { policy }), { exitCode: 1, stage: 'inclusion', index: place })
  await untouched(t)
})

t.test('a deleted entry is shown by fsck as gone and by the verifier as missing', async (t) => {
  const copy = await copyOf(t, network, gb)
  await copy.change('audit_entry', `delete from crossline.audit_entry where id = ${at(place)}`)
  shows(t, await fsck(copy.env), { exitCode: 1, stage: 'inclusion', index: place })
  // So that the hotline can still answer with what is left.
  for (const table of ['audit_leaf', 'audit_place'])
    await copy.change(table, `delete from crossline.${table} where leaf_index = ${place}`)
  shows(t, await fsck(copy.env), { exitCode: 1, stage: 'inclusion', index: place, says: /missing/ })
  shows(t, await exportAndVerify(copy, { policy }), { exitCode: 2, stage: 'inclusion', index: place, says: /missing/ })
  await untouched(t)
})

t.test('an inserted entry is shown by fsck and by the verifier, where it was put in', async (t) => {
  const copy = await copyOf(t, network, gb)
  const columns = 'recorded_at, event, item_ref, item_seq, from_member, to_member, country'
  await copy.ask(`insert into crossline.audit_entry (${columns}, entry)
    select ${columns}, convert_to(regexp_replace(convert_from(entry, 'UTF8'), '"id":"[0-9a-f]{4}', '"id":"0000'), 'UTF8') from crossline.audit_entry where id = ${at(place)}`)
  const added = '(select max(id) from crossline.audit_entry)'
  await copy.change('audit_pending', `delete from crossline.audit_pending where id = ${added}`)
  await moveLeaves(
    copy,
    place,
    `insert into moving select * from moving where leaf_index = ${place};
     update moving set leaf_index = leaf_index + 1 where ctid <> (select max(ctid) from moving);
     update moving set entry_id = ${added} where leaf_index = ${place}`,
  )
  shows(t, await fsck(copy.env), { exitCode: 1, stage: 'inclusion', index: place })
  shows(t, await exportAndVerify(copy, { policy }), { exitCode: 1, stage: 'inclusion', index: place })
  await untouched(t)
})

t.test('two entries that were swapped are shown by fsck and by the verifier', async (t) => {
  const copy = await copyOf(t, network, gb)
  const [one, other] = [place, place + 1]
  await moveLeaves(copy, one, `update moving set leaf_index = ${one + other} - leaf_index where leaf_index <= ${other}`)
  shows(t, await fsck(copy.env), { exitCode: 1, stage: 'inclusion', index: one })
  shows(t, await exportAndVerify(copy, { policy }), { exitCode: 1, stage: 'inclusion', index: one })
  await untouched(t)
})

const countEvidence = async () => (await Promise.all(peers.map(evidenceOf))).flat().length

/** The hotline comes back over a copy and asks its witnesses: it halts, and a peer keeps what contradicts. */
async function meetWitnesses(t: Test, copy: Copy, why: 'rollback' | 'fork'): Promise<void> {
  const before = await countEvidence()
  const { audit } = await withNode(copy, { alone: false }, () =>
    eventually('sealing halts, and a peer has kept the notes', async () => {
      const status = await statusOf(gb)
      return status.audit.halted && (await countEvidence()) > before && status
    }),
  )
  t.match(audit.halted, { why })
  const notes = (await Promise.all(peers.map(evidenceOf))).flat()
  t.ok(notes.every(({ member, first_note, second_note }) => member === gb.id && first_note !== second_note))
}

t.test('a log that was rolled back is shown by its witnesses, and by a checkpoint that somebody kept', async (t) => {
  const [copy] = older
  t.match(await fsck(copy.env), { exitCode: 0 }, 'by itself it looks like the truth of last night')
  shows(t, await exportAndVerify(copy, { policy, since }), { exitCode: 2, stage: 'consistency', says: /rolled back/ })
  await meetWitnesses(t, copy, 'rollback')
  await untouched(t)
})

const hideWitnesses = (copy: Copy) => copy.change('cosignature', `delete from crossline.cosignature where size <= ${kept.size}`)

t.test(
  'a log that was rolled back and has grown again is shown by its witnesses, and by a checkpoint that somebody kept',
  async (t) => {
    const [, copy] = older
    await hideWitnesses(copy)
    await withNode(copy, { alone: true }, () => growPast(kept.size))
    shows(t, await exportAndVerify(copy, { policy }), { exitCode: 2, stage: 'quorum' })
    shows(t, await exportAndVerify(copy, { policy, since }), { exitCode: 1, stage: 'consistency' })
    await meetWitnesses(t, copy, 'fork')
    await untouched(t)
  },
)

const growPast = async (size: number) => grow(gb, Math.max(1, size + 1 - (await sizeOf(gb))))

t.test('a log that was rebuilt and signed again with the real key is shown by its witnesses and by the verifier', async (t) => {
  const copy = await copyOf(t, network, gb)
  const [{ id }] = await copy.ask(`select ${at(place)}::int as id`)
  await rebuild(copy, id, (entry) => entry.replace(/"at":"20../, '"at":"2019'))
  await withNode(copy, { alone: true }, () => eventually('it is sealed again', async () => (await sizeOf(gb)) >= kept.size))
  const own = await fsck(copy.env)
  shows(t, own, { exitCode: 2, stage: 'quorum' })
  t.equal(own.faults.length, 1, `nothing else is wrong with it: ${JSON.stringify(own.faults)}`)
  shows(t, await exportAndVerify(copy, { policy }), { exitCode: 2, stage: 'quorum' })
  shows(t, await exportAndVerify(copy, { policy, since }), { exitCode: 1, stage: 'consistency' })
  await meetWitnesses(t, copy, 'fork')
  await untouched(t)
})

/** A view that one peer alone gets to see. */
async function showTo(peer: RunningMember, copy: Copy, entries: number): Promise<{ size: number; note: string }> {
  const other = peer === se ? jp : se
  await other.stop()
  await withNode(copy, { alone: false }, async () => {
    await grow(gb, entries)
    await cosignedBy(gb, peer.id, await sizeOf(gb))
  })
  await other.start()
  await hideWitnesses(copy)
  const [view] = await copy.ask(
    'select p.size::int, p.note || c.line as note from crossline.audit_checkpoint p join crossline.cosignature c using (year, size) order by p.size desc limit 1',
  )
  return view
}

t.test('two views for two peers: neither is witnessed enough, and who has both sees the fork', async (t) => {
  const [one, two] = [await copyOf(t, network, gb), await copyOf(t, network, gb)]
  await showTo(se, one, 6)
  const other = await showTo(jp, two, 2)
  for (const copy of [one, two]) {
    const found = await exportAndVerify(copy, { policy, since })
    shows(t, found, { exitCode: 2, stage: 'quorum' })
    t.notOk(
      found.faults.some(({ kind }) => kind === 'tampered'),
      'each only grew from what both peers have seen',
    )
    t.ok((found.logs[0]?.witnessed ?? 0) <= 1)
  }
  const otherView = join(network.folder, 'other.checkpoint')
  writeFileSync(otherView, other.note)
  shows(t, await exportAndVerify(one, { policy, since: otherView }), { exitCode: 1, stage: 'consistency' })
  await meetWitnesses(t, one, 'fork')
  await untouched(t)
})
