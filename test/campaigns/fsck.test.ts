// The whole log looked at again in its tables: an honest one holds, at any moment; each way of tampering as superuser is told with its place.
import { generateKeyPairSync } from 'node:crypto'
import t, { type Test } from 'tap'
import { auditFsck } from '#commands/audit-fsck.ts'
import { cosignCheckpoint, verifierKeyOf } from '#crypto/checkpoint-note.ts'
import type { HeldDirectory } from '#domain/held-directory.ts'
import { parseNote } from '#domain/signed-note.ts'
import { checkLog, type LogVerification } from '#steps/check-log.ts'
import type { StepContext } from '#steps/context.ts'
import { indexItems } from '#steps/index-items.ts'
import { countStrayEntries } from '#storage/fsck-store.ts'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import { insertCosignature, recordEvidence } from '#storage/witness-store.ts'
import { type OwnLog, openLog, restoreAs, tamper } from '../audit/own-log.ts'
import { addresses, createNetwork, environmentOf, eventually, reportOf } from '../network.ts'

const witness = { name: 'hotline-fr/witness', ...generateKeyPairSync('ed25519') }
const origin = 'hotline-gb/audit/2026'

function fsck(log: OwnLog): Promise<LogVerification> {
  const policy = [
    `log ${verifierKeyOf(origin, 1, log.logKey).text}`,
    `witness ${witness.name} ${verifierKeyOf(witness.name, 4, witness.publicKey).text}`,
    `quorum ${witness.name}\n`,
  ].join('\n')
  const { x } = verifierJwk(log)
  return checkLog(
    {
      self: 'hotline-gb',
      db: log.database.database,
      keys: log.keys,
      auditPolicy: policy,
      auditKey: () => ({ key: log.logKey, kid: '', publicJwk: { kty: 'OKP', crv: 'Ed25519', x } }),
      directory: () => ({ findMember: () => undefined, auditKeys: () => [], peersOf: () => [] }) as unknown as HeldDirectory,
    },
    () => {},
  )
}

const verifierJwk = ({ logKey }: OwnLog) => ({ x: verifierKeyOf(origin, 1, logKey).publicKey.toString('base64url') })

async function cosign(log: OwnLog): Promise<void> {
  const { year, size, note } = (await findLatestCheckpoint(log.database.database)) as { year: number; size: number; note: string }
  const at = new Date(log.clock.now.getTime() + 5000)
  const line = cosignCheckpoint(parseNote(note).text, { name: witness.name, key: witness.privateKey, at })
  await insertCosignature(log.database.database, { year, size, witness: witness.name, line, cosignedAt: at })
}

/** Three items, 540 entries in several checkpoints, an index, all cosigned. */
async function honestLog(t: Test): Promise<OwnLog> {
  const log = await openLog(t)
  const { sealAll, ctx } = log.openProcess()
  for (const count of [1, 130, 5, 255]) {
    await log.append(`item ${count % 3}`, count)
    await sealAll()
  }
  await indexItems(ctx as unknown as StepContext, { now: true })
  await log.append('item 1', 148)
  await sealAll()
  await cosign(log)
  return log
}

t.test('an honest log holds, with entries that wait and a checkpoint that nobody cosigned yet', async (t) => {
  const log = await honestLog(t)
  const { sealAll } = log.openProcess()
  const found = await fsck(log)
  t.equal(found.verdict, 'valid', JSON.stringify(found.faults))
  t.match(found, {
    complete: 'log',
    checkpoints: 5,
    recent: 0,
    unwitnessed: 0,
    evidence: 0,
    counts: { entries: 541, gaps: 0, openStarts: 0 },
  })
  t.match(found.logs, [{ origin, size: 541, entries: 541, witnessed: 1, of: 1 }])
  await log.append('item 2', 7)
  t.match(await fsck(log), { verdict: 'valid', recent: 7 })
  await sealAll()
  await log.append('item 0', 2)
  t.match(await fsck(log), { verdict: 'valid', recent: 2, unwitnessed: 7 })
})

t.test('an empty log holds, and one that nobody cosigned is below quorum', async (t) => {
  const log = await openLog(t)
  t.match(await fsck(log), { verdict: 'valid', logs: [] })
  await log.append('item', 3)
  await log.openProcess().sealAll()
  const found = await fsck(log)
  t.match(found, { verdict: 'incomplete', faults: [{ stage: 'quorum' }] })
})

const entryAt = (index: number) => `(select entry_id from crossline.audit_leaf where leaf_index = ${index})`
const ways: [string, string, string, Partial<LogVerification['faults'][number]>][] = [
  [
    'an entry that was edited',
    'audit_entry',
    `update crossline.audit_entry set entry = convert_to(replace(convert_from(entry, 'UTF8'), 'item.traced', 'item.closed'), 'UTF8') where id = ${entryAt(300)}`,
    { stage: 'inclusion', index: 300 },
  ],
  [
    'an entry that was deleted',
    'audit_entry',
    `delete from crossline.audit_entry where id = ${entryAt(300)}`,
    { stage: 'inclusion', index: 300 },
  ],
  [
    'the bytes of two entries exchanged',
    'audit_entry',
    `update crossline.audit_entry a set entry = b.entry from crossline.audit_entry b where a.id in (${entryAt(300)}, ${entryAt(301)}) and b.id in (${entryAt(300)}, ${entryAt(301)}) and a.id <> b.id`,
    { stage: 'inclusion', index: 300 },
  ],
  [
    'a column beside the entry that was changed',
    'audit_entry',
    `update crossline.audit_entry set event = 'item.closed' where id = ${entryAt(300)}`,
    { stage: 'inclusion', index: 300 },
  ],
  [
    'a leaf that was changed',
    'audit_leaf',
    "update crossline.audit_leaf set hash = sha256('x') where leaf_index = 300",
    { stage: 'inclusion', index: 300 },
  ],
  [
    'a leaf that was deleted',
    'audit_leaf',
    'delete from crossline.audit_leaf where leaf_index = 300',
    { stage: 'inclusion', index: 300 },
  ],
  [
    'a tile that was changed',
    'audit_tile',
    "update crossline.audit_tile set hashes = sha256('x') || substr(hashes, 33) where level = 0 and n = 1",
    { stage: 'root' },
  ],
  ['a tile that was deleted', 'audit_tile', 'delete from crossline.audit_tile where level = 0 and n = 1', { stage: 'root' }],
  [
    'a checkpoint that was changed',
    'audit_checkpoint',
    "update crossline.audit_checkpoint set root = sha256('x') where size = (select min(size) from crossline.audit_checkpoint)",
    { stage: 'signature' },
  ],
  [
    'a tree that was rolled back',
    'audit_shard',
    'update crossline.audit_shard set (size, root) = (select size, root from crossline.audit_checkpoint order by size limit 1)',
    { stage: 'consistency' },
  ],
  [
    'the edge that the sealer goes on from',
    'audit_shard',
    'update crossline.audit_shard set edge = set_bit(edge, 300, 1 - get_bit(edge, 300))',
    { stage: 'root' },
  ],
  [
    'an edge that is cut off',
    'audit_shard',
    'update crossline.audit_shard set edge = substr(edge, 1, length(edge) - 32)',
    { stage: 'root' },
  ],
  ...['event', 'from_member', 'to_member', 'country'].map((column): (typeof ways)[number] => [
    `the ${column} that questions find an entry by`,
    'audit_place',
    `update crossline.audit_place set ${column} = 'XX' where leaf_index = 300`,
    { stage: 'inclusion', index: 300 },
  ]),
  [
    'a time that questions find an entry by',
    'audit_place',
    "update crossline.audit_place set recorded_at = recorded_at + interval '1 day' where leaf_index = 300",
    { stage: 'inclusion', index: 300 },
  ],
  [
    'two places that were exchanged',
    'audit_place',
    'update crossline.audit_place a set entry_id = b.entry_id from crossline.audit_place b where a.leaf_index + b.leaf_index = 601 and a.leaf_index in (300, 301)',
    { stage: 'inclusion', index: 300 },
  ],
  [
    'an entry that no question finds',
    'audit_place',
    'delete from crossline.audit_place where leaf_index = 300',
    { stage: 'inclusion', index: 300 },
  ],
  [
    'a stretch that no question of its time finds',
    'audit_stretch',
    "update crossline.audit_stretch set earliest = 'infinity'",
    { stage: 'inclusion', index: 0 },
  ],
  [
    'a place that no leaf has',
    'audit_place',
    'insert into crossline.audit_place select year, 5000, entry_id, recorded_at, event, from_member, to_member, country from crossline.audit_place where leaf_index = 300',
    { stage: 'inclusion' },
  ],
  [
    'a leaf of a year that has no tree',
    'audit_leaf',
    "insert into crossline.audit_leaf values (1999, 0, 999999, sha256('x'))",
    { stage: 'inclusion' },
  ],
  [
    'a head that names an earlier entry',
    'audit_head',
    'update crossline.audit_head set n = n - 1 where n > 100',
    { stage: 'chain' },
  ],
  [
    'an index that was changed',
    'audit_index_chunk',
    'update crossline.audit_index_chunk set leaves = set_byte(leaves, 73, 255 - get_byte(leaves, 73))',
    { stage: 'chain' },
  ],
  [
    'a payload that was exchanged',
    'audit_payload',
    `update crossline.audit_payload a set sealed = b.sealed, subject = b.subject from crossline.audit_payload b where a.entry_id = ${entryAt(300)} and b.entry_id = ${entryAt(301)}`,
    { stage: 'disclosure', index: 300 },
  ],
  [
    'an opening that is gone without an erasure',
    'audit_payload',
    `delete from crossline.audit_payload where entry_id = ${entryAt(300)}`,
    { stage: 'disclosure', index: 300 },
  ],
  [
    'a key that is gone without an erasure',
    'subject_key',
    `delete from crossline.subject_key where subject = (select subject from crossline.audit_payload where entry_id = ${entryAt(300)})`,
    { stage: 'disclosure' },
  ],
  [
    'a cosignature that was changed',
    'cosignature',
    "update crossline.cosignature set line = regexp_replace(line, '.{12}\\n$', 'AAAAAAAAAAA=' || chr(10))",
    { stage: 'signature' },
  ],
]

t.test('each way of tampering as superuser is told, and where', async (t) => {
  const honest = await honestLog(t)
  for (const [what, table, change, fault] of ways) {
    await t.test(what, async (t) => {
      const log = await restoreAs(t, honest)
      await tamper(log, table, change)
      const found = await fsck(log)
      t.not(found.verdict, 'valid', 'it is not valid')
      t.ok(
        found.faults.some((each) => Object.entries(fault).every(([name, value]) => each[name as keyof typeof each] === value)),
        JSON.stringify(found.faults),
      )
    })
  }
})

t.test('an entry that was changed while it waits to be sealed is told', async (t) => {
  const log = await honestLog(t)
  await log.append('item 1', 1)
  await tamper(
    log,
    'audit_entry',
    "update crossline.audit_entry set entry = entry || '\\x20'::bytea where id = (select max(id) from crossline.audit_entry)",
  )
  const found = await fsck(log)
  t.equal(found.verdict, 'tampered')
})

t.test('an entry that was taken out of the queue before it was sealed is told', async (t) => {
  const log = await honestLog(t)
  await log.append('item 1', 1)
  const last = '(select max(id) from crossline.audit_entry)'
  // What the writer keeps of the item is put back too: then nothing that is sealed or waits misses it.
  await tamper(
    log,
    'audit_head',
    `update crossline.audit_head h set (n, leaf) = (select p.item_seq, p.leaf from crossline.audit_entry p where p.item_ref = h.item_ref and p.item_seq = h.n - 1)
       where item_ref = (select item_ref from crossline.audit_entry where id = ${last})`,
  )
  await tamper(log, 'audit_pending', `delete from crossline.audit_pending where id = ${last}`)
  const found = await fsck(log)
  t.match(found, { verdict: 'tampered', recent: 0, faults: [{ stage: 'inclusion', kind: 'tampered' }] })
  t.match(found.faults[0]?.says, /taken out of the queue before it was sealed/)
  const db = log.database.database
  let strays = 0
  let pages = 0
  for (let afterId = -1; ; pages++) {
    const page = await countStrayEntries(db, { afterId, limit: 100 })
    if (!page) break
    strays += page.strays
    afterId = page.lastId
  }
  t.same({ strays, pages }, { strays: 1, pages: 6 }, 'in pages of any size')
  await tamper(
    log,
    'audit_leaf',
    `insert into crossline.audit_leaf select 1999, 0, id, leaf from crossline.audit_entry where id = ${last}`,
  )
  const hidden = await fsck(log)
  t.ok(
    hidden.faults.some(({ says }) => says.includes('taken out of the queue')),
    'a leaf that no tree has does not hide it',
  )
})

t.test('evidence against our own log is a fault, evidence against a peer is counted', async (t) => {
  const log = await honestLog(t)
  const db = log.database.database
  const notes = { member: 'hotline-fr', firstNote: 'one\n', secondNote: 'two\n', kind: 'fork' } as const
  await recordEvidence(db, { ...notes, origin: 'hotline-fr/audit/2026' })
  t.match(await fsck(log), { verdict: 'valid', evidence: 1 })
  await recordEvidence(db, { ...notes, origin })
  t.match(await fsck(log), { verdict: 'tampered', evidence: 2, faults: [{ stage: 'consistency' }] })
})

t.test('the command looks at the log of a node while it runs', async (t) => {
  const network = await createNetwork(t, { zone: { 'abroad.example': { A: [addresses.SE] } }, witnessRoundMs: 300 })
  const gb = network.get('hotline-gb')
  const answer = await gb.call(
    'hotline',
    'POST',
    '/v1/reports',
    reportOf([{ url: 'https://abroad.example/', contentType: 'website' }]),
  )
  t.equal(answer.status, 201, answer.text)
  const env = environmentOf(gb.id, { folder: network.folder, port: gb.port, dnsPort: network.dnsPort }, gb.database.url)
  const found = await eventually(
    'all of it is sealed, and witnessed',
    async () => {
      const { exitCode, text } = await auditFsck(env, { json: true }, () => {})
      const result = JSON.parse(text) as LogVerification
      t.notOk(['tampered', 'unreadable'].includes(result.verdict), JSON.stringify(result.faults))
      return exitCode === 0 && result.recent === 0 ? result : undefined
    },
    30_000,
  )
  t.equal(found.complete, 'log')
  t.ok(found.counts.entries > 2 && found.counts.disclosed > 4)
  const { exitCode, text } = await auditFsck(env, { json: false }, () => {})
  t.equal(exitCode, 0)
  t.match(text, /^VALID[\s\S]*Also looked at: \d+ signed checkpoints/)
})
