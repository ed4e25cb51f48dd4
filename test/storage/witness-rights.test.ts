// What was cosigned and what contradicts stays: the service can add to it and let a peer's log grow, and nobody can take anything back.
import t, { type Test } from 'tap'
import { withClient } from '#storage/admin-client.ts'
import {
  countEvidence,
  findCosignatures,
  findCosignedSizes,
  findLastCosignatures,
  hasCosigned,
  insertCosignature,
  lockPeerLog,
  recordEvidence,
  recordPeerLog,
} from '#storage/witness-store.ts'
import { createTestDatabase } from '../database.ts'

const place = await createTestDatabase(t)
const { database } = place
const root = (byte: number) => Buffer.alloc(32, byte)
const at = new Date('2026-11-23T10:00:00.000Z')
const origin = 'lab/audit/2026'
const first = { origin, member: 'lab', root: root(0), now: at }
const growTo = (size: number, byte: number) =>
  database.transaction().execute(async (trx) => {
    await lockPeerLog(trx, first)
    await recordPeerLog(trx, { origin, size, root: root(byte), note: `note ${size}`, checkedAt: at })
  })

async function refuseEach(t: Test, url: string, statements: readonly string[]): Promise<void> {
  await withClient(url, async (client) => {
    for (const statement of statements) await t.rejects(client.query(statement), { code: '42501' }, statement)
  })
}

t.test('a peer’s log only grows', async (t) => {
  await database.transaction().execute(async (trx) => t.match(await lockPeerLog(trx, first), { size: 0, note: '' }))
  await growTo(5, 1)
  await growTo(5, 1)
  await growTo(7, 2)
  await t.rejects(growTo(6, 3), { code: '42501' }, 'not smaller')
  await t.rejects(growTo(7, 3), { code: '42501' }, 'nor another of the same size')
  await database
    .transaction()
    .execute(async (trx) => t.match(await lockPeerLog(trx, first), { size: 7, root: root(2), note: 'note 7' }))
})

t.test('evidence is kept once, and bounded for each log', async (t) => {
  const evidence = (n: number) => ({ kind: 'fork' as const, member: 'lab', origin, firstNote: 'one', secondNote: `other ${n}` })
  const id = await recordEvidence(database, evidence(0))
  t.type(id, 'number')
  t.equal(await recordEvidence(database, evidence(0)), id)
  t.not(await recordEvidence(database, { ...evidence(0), kind: 'rollback' }), id)
  for (let n = 1; n < 999; n++) await recordEvidence(database, evidence(n))
  t.equal(await countEvidence(database), 1000)
  t.equal(await recordEvidence(database, evidence(5000)), undefined, 'more of one log is not kept')
  t.equal(await recordEvidence(database, evidence(0)), id, 'what is kept is still found')
  t.type(await recordEvidence(database, { ...evidence(1), origin: 'other/audit/2026' }), 'number', 'another log has room')
})

t.test('evidence is bounded for each member, however many logs it names', async (t) => {
  await withClient(place.adminUrl, (client) =>
    client.query(`insert into crossline.audit_evidence (kind, member, origin, first_note, second_note, digest)
      select 'fork', 'many', 'many/audit/' || 1000 + n, 'one', 'two', sha256(convert_to('many ' || n, 'UTF8')) from generate_series(1, 2999) n`),
  )
  const evidence = (member: string, secondNote: string) =>
    recordEvidence(database, { kind: 'fork', member, origin: `${member}/audit/2026`, firstNote: 'one', secondNote })
  const last = await evidence('many', 'the last')
  t.type(last, 'number')
  t.equal(await evidence('many', 'one more'), undefined)
  t.equal(await evidence('many', 'the last'), last, 'what is kept is still found')
  t.type(await evidence('few', 'one more'), 'number', 'another member has room')
})

t.test('the first cosignature of a witness for a checkpoint stays', async (t) => {
  const one = (size: number, witness: string, line = `line ${size}`) => ({ year: 2026, size, witness, line, cosignedAt: at })
  const later = { ...one(9, 'a/witness', 'another'), cosignedAt: new Date(at.getTime() + 60_000) }
  for (const each of [one(3, 'b/witness'), one(9, 'b/witness'), one(9, 'a/witness'), later])
    await insertCosignature(database, each)
  await insertCosignature(database, { ...one(2, 'b/witness'), year: 2027 })
  t.same(await findCosignatures(database, 2026, 9), [one(9, 'a/witness'), one(9, 'b/witness')])
  t.same(await findCosignedSizes(database, { year: 2026, witnesses: 1, limit: 5 }), [9, 3])
  for (let size = 10; size < 70; size++) await insertCosignature(database, one(size, 'b/witness'))
  t.same(await findCosignedSizes(database, { year: 2026, witnesses: 2, limit: 5 }), [9], 'however long one goes on alone')
  t.match(await findLastCosignatures(database), [
    { witness: 'a/witness', year: 2026, size: 9 },
    { witness: 'b/witness', year: 2027, size: 2 },
  ])
  t.equal(await hasCosigned(database, one(3, 'b/witness')), true)
  t.equal(await hasCosigned(database, one(3, 'a/witness')), false)
})

t.test('the service can take nothing back and date nothing', (t) =>
  refuseEach(t, place.url, [
    'delete from crossline.cosignature',
    "update crossline.cosignature set line = 'x'",
    'truncate crossline.cosignature',
    "insert into crossline.cosignature (year, size, witness, line, cosigned_at, stored_at) values (2026, 1, 'w', 'l', now(), '2020-01-01')",
    'delete from crossline.peer_log',
    "update crossline.peer_log set origin = 'x'",
    "update crossline.peer_log set member = 'x'",
    'update crossline.peer_log set size = 1',
    'truncate crossline.peer_log',
    'delete from crossline.audit_evidence',
    "update crossline.audit_evidence set kind = 'fork'",
    'truncate crossline.audit_evidence',
    "insert into crossline.audit_evidence (kind, member, origin, first_note, second_note, digest, noticed_at) values ('fork', 'a', 'b', 'c', 'd', sha256('e'), '2020-01-01')",
    'alter table crossline.audit_evidence disable trigger all',
  ]),
)

t.test('nor can a superuser, with the triggers on', (t) =>
  refuseEach(t, place.adminUrl, [
    'delete from crossline.cosignature',
    "update crossline.cosignature set line = 'x'",
    'truncate crossline.cosignature',
    'delete from crossline.peer_log',
    "update crossline.peer_log set member = 'x'",
    'update crossline.peer_log set size = size - 1',
    'truncate crossline.peer_log',
    'delete from crossline.audit_evidence',
    "update crossline.audit_evidence set kind = 'fork'",
    'truncate crossline.audit_evidence',
    'alter table crossline.audit_evidence disable trigger all',
    'drop table crossline.peer_log',
    'set session_replication_role = replica; delete from crossline.audit_evidence',
  ]),
)
