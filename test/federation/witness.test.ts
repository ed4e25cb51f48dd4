// A node as the witness of a peer's audit log: it cosigns what only grew, in C2SP's form, and keeps for ever what contradicts.
import { createHash, generateKeyPairSync } from 'node:crypto'
import t, { type Test } from 'tap'
import { withClient } from '#storage/admin-client.ts'
import { setAuditWritable } from '../audit/broken-log.ts'
import { checkAuditLog, readNodeKeys } from '../audit-check.ts'
import { createNetwork, type Member } from '../network.ts'
import { makeClock, readDirectory, readIdentity } from '../peer.ts'
import { type Call, openPeer } from '../peer-client.ts'
import { makeLog, readAuditKey, readCosignature, signNote, type TestLog } from '../witness-log.ts'

const hosts = ['localhost', '127.0.0.1']
const members: Member[] = [
  { id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts },
  ...['lab', 'lab-2', 'lab-3', 'lab-4', 'lab-5', 'lab-6'].map((id) => ({
    id,
    name: 'Laboratory',
    countries: id === 'lab' ? ['PH'] : [],
    hosts,
    runs: false,
  })),
]
const clock = makeClock()
const network = await createNetwork(t, { members, now: clock.now })
const gb = network.get('hotline-gb')
const directory = () => readDirectory(network.folder)
const labs = members.slice(1).map(({ id }) => ({
  peer: openPeer({ identity: readIdentity(network.folder, id), node: gb, directory, clock }),
  key: readAuditKey(network.folder, id),
}))
type Lab = (typeof labs)[number]
const [lab] = labs as [Lab]
const gbWitness = { name: 'hotline-gb/witness', key: readAuditKey(network.folder, 'hotline-gb') }
const admin = (query: string) => withClient(gb.database.adminUrl, (client) => client.query(query))
const names = (count: number, prefix = 'leaf'): string[] => Array.from({ length: count }, (_, n) => `${prefix} ${n}`)
const submit = ({ lab: { peer } }: { lab: Lab }, body: string | Buffer, call: Call = {}) =>
  peer.call({ path: '/federation/v1/witness', body, headers: { 'content-type': 'text/plain; charset=utf-8' }, ...call })
const year = () => clock.now().getUTCFullYear()

interface LabLog extends TestLog {
  lab: Lab
}
const logOf = (lab: Lab, year: number, leaves: readonly string[]): LabLog =>
  Object.assign(makeLog(`${lab.peer.identity.id}/audit/${year}`, lab.key, leaves), { lab })
const unseen = labs.flatMap((lab) => [-1, 0].map((offset) => ({ lab, year: year() + offset }))).toSpliced(1, 1)
/** A log that this node has not seen: each test takes another year of one of the laboratories. */
function newLog(count: number): LabLog {
  const { lab, year } = unseen.shift() as (typeof unseen)[number]
  return logOf(lab, year, names(count))
}

const heldOf = async (origin: string) =>
  (await admin(`select size::int, note from crossline.peer_log where origin = '${origin}'`)).rows[0]
const evidenceOf = async (origin: string) =>
  (await admin(`select * from crossline.audit_evidence where origin = '${origin}' order by id`)).rows
const eventsOf = async (code: string) =>
  Number((await admin(`select coalesce(sum(count), 0)::int as n from crossline.security_event where code = '${code}'`)).rows[0].n)

async function cosigned(t: Test, log: LabLog, old: number, name: string): Promise<void> {
  clock.advance(1000)
  const answer = await submit(log, log.body(old))
  t.equal(answer.status, 200, name)
  t.match(answer.headers['content-type'], /^text\/plain/)
  const seconds = readCosignature(log.text(), answer.bytes.toString(), gbWitness)
  t.ok(seconds !== undefined && Math.abs(seconds - clock.now().getTime() / 1000) < 60, `${name}: the cosignature verifies`)
}

t.test('a log that only grows is cosigned, and each size is one entry of our log', async (t) => {
  const log = logOf(lab, year(), names(3))
  await cosigned(t, log, 0, 'the first time')
  await cosigned(t, log, 3, 'the same again')
  for (const more of [1, 4, 8, 100, 1]) {
    const old = log.size()
    log.grow(...names(more, `to ${old + more}`))
    await cosigned(t, log, old, `from ${old} to ${log.size()}`)
  }
  const checked = await checkAuditLog(gb.database.database, await readNodeKeys(gb.config.masterKey))
  const entries = checked.entries.filter(({ event }) => event === 'peer.checkpoint')
  t.same(
    entries.map(({ n, opening }) => [n, (opening['checkpoint']?.value as { size: number } | undefined)?.size]),
    [3, 4, 8, 16, 116, 117].map((size, n) => [n + 1, size]),
    'none for the repetition',
  )
  t.match(entries.at(-1)?.opening, {
    checkpoint: { value: { origin: log.origin, root: log.root().toString('base64url') } },
    actor: { value: { kind: 'peer', member: 'lab' } },
  })
  t.same(await heldOf(log.origin), { size: 117, note: log.note() })
})

t.test('a stale old size gets ours with 409, and the next try succeeds', async (t) => {
  const log = newLog(5)
  await cosigned(t, log, 0, 'first')
  log.grow('one more')
  for (const old of [0, 3, 6]) {
    const answer = await submit(log, log.body(old))
    t.match(answer, { status: 409, headers: { 'content-type': 'text/x.tlog.size' } }, `old ${old}`)
    t.equal(answer.bytes.toString(), '5\n')
    const shown = String(answer.headers['crossline-checkpoint'])
    t.equal(Buffer.from(shown, 'base64url').toString(), log.note(5), 'with the note that shows it')
  }
  t.same(await evidenceOf(log.origin), [], 'that contradicts nothing')
  await cosigned(t, log, 5, 'with the right one')
  const other = newLog(4)
  const answer = await submit(other, other.body(2))
  t.match([answer.status, answer.bytes.toString(), answer.headers['crossline-checkpoint']], [409, '0\n', undefined])
})

t.test('a log that grows again within a second is to come later, and becomes no entry', async (t) => {
  const log = newLog(3)
  await cosigned(t, log, 0, 'first')
  const countEntries = async () =>
    (await admin("select from crossline.audit_entry where event = 'peer.checkpoint'")).rowCount as number
  const before = await countEntries()
  // What the node and we take for the calls is not counted: the clock stands.
  const at = Date.now()
  for (let n = 0; n < 3; n++) {
    log.grow(`more ${n}`)
    clock.advance(at - Date.now())
    const answer = await submit(log, log.body(3))
    t.match(answer, { status: 429, headers: { 'retry-after': '1' }, json: { code: 'rate_limited' } })
    t.match(log.lab.peer.readError(answer), { code: 'rate_limited', retryAfter: 1 }, 'signed')
  }
  t.match(await heldOf(log.origin), { size: 3 })
  t.equal(await countEntries(), before)
  t.equal((await submit(log, log.body(3, { size: 3 }))).status, 200, 'the same again is always cosigned')
  const other = makeLog(log.origin, log.lab.key, names(5, 'other'))
  t.equal((await submit(log, other.body(3))).status, 422, 'and what contradicts is always looked at')
  t.equal((await evidenceOf(log.origin)).length, 1)
  await cosigned(t, log, 3, 'a second later')
  t.equal(await countEntries(), before + 1)
  log.grow('and on')
  clock.advance(-5000)
  t.equal((await submit(log, log.body(6))).status, 200, 'a clock that was set back makes nobody wait')
  clock.advance(5000)
  t.equal(await eventsOf('rate_limited'), 0, 'it is no security event')
})

t.test('a log of another year than the last, this one and the next is unknown', async (t) => {
  for (const offset of [-50, -2, 2, 1000]) {
    const log = logOf(lab, year() + offset, names(3))
    t.match(await submit(log, log.body(0)), { status: 404, json: { code: 'unknown_log' } }, String(offset))
    t.equal(await heldOf(log.origin), undefined, 'nothing of it is remembered')
  }
})

t.test('what is not in its form is malformed', async (t) => {
  const log = newLog(7)
  const body = log.body(0)
  const note = log.note()
  const proof = log.proof(3)
  const bent: Record<string, string | Buffer> = {
    'carriage returns': body.replaceAll('\n', '\r\n'),
    'a carriage return in the note': body.replace('\n7\n', '\n7\r\n'),
    'no old line': `\n${note}`,
    'another first line': body.replace('old 0', 'new 0'),
    'a leading zero': body.replace('old 0', 'old 00'),
    'a negative size': body.replace('old 0', 'old -1'),
    'a size past 2^53': body.replace('old 0', 'old 9007199254740992'),
    'an old size past the new one': log.body(0).replace('old 0', 'old 8'),
    'no empty line': body.replace('\n\n', '\n'),
    'a proof line that is no hash': log.body(3, { path: proof.slice(1) }).replace('old 3\n', 'old 3\nnonsense\n'),
    'a hash of 31 bytes': log.body(3, { path: [Buffer.alloc(31), ...proof] }),
    'unpadded base64': log.body(3).replace('=\n', '\n'),
    '64 lines of proof': log.body(3, { path: Array.from({ length: 64 }, () => Buffer.alloc(32)) }),
    'no signature': `old 0\n\n${log.text()}\n`,
    'an extension line': `old 0\n\n${signNote(`${log.text()}more\n`, { name: log.origin, key: log.lab.key })}`,
    'a size with a leading zero': `old 0\n\n${signNote(log.text().replace('\n7\n', '\n07\n'), { name: log.origin, key: log.lab.key })}`,
    'bytes that are no UTF-8': Buffer.concat([Buffer.from(body), Buffer.of(0xff, 0x0a)]),
    'a byte order mark': `\ufeff${body}`,
    'no last newline': body.slice(0, -1),
    nothing: '',
  }
  for (const [name, bytes] of Object.entries(bent)) {
    const answer = await submit(log, bytes)
    t.match(answer, { status: 400, json: { code: 'malformed_request' } }, name)
    t.match(log.lab.peer.readError(answer), { code: 'malformed_request' }, `${name}: signed`)
    clock.advance(1000)
  }
  t.equal(await heldOf(log.origin), undefined, 'nothing of it is remembered')
  t.equal((await submit(log, `old 0\n\n${'x'.repeat(70_000)}`)).status, 413)
  t.equal((await submit(log, body, { headers: { 'content-type': 'application/json' } })).status, 415)
})

t.test('only the caller’s own log, under a current key of its own, is cosigned', async (t) => {
  const log = newLog(7)
  const stranger = generateKeyPairSync('ed25519').privateKey
  const { id } = log.lab.peer.identity
  const foreign = (origin: string) => makeLog(origin, log.lab.key, names(3)).body(0)
  const before = await eventsOf('unknown_log')
  for (const origin of [
    'hotline-gb/audit/2026',
    'hotline-se/audit/2026',
    `${id}/audit`,
    `${id}/audit/26`,
    `${id}/log/2026`,
    `${id}/audit/2026/x`,
  ])
    t.match(await submit(log, foreign(origin)), { status: 404, json: { code: 'unknown_log' } }, origin)
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(await eventsOf('unknown_log'), before + 6, 'each is a security event')
  clock.advance(20_000)
  const forged = signNote(log.text(), { name: log.origin, key: stranger })
  const good = log.note()
  const bad = good.replace(/(.{20})(.)(.*\n)$/, (_all, a, b, c) => `${a}${b === 'A' ? 'B' : 'A'}${c}`)
  const others: Record<string, string> = {
    'a stranger’s key': forged,
    'a bent signature': bad,
    'the signature of another size': `${log.text()}\n${good.split('\n\n')[1]?.replace(/ \S+$/m, ` ${log.note(6).split(' ').at(-1)?.trim()}`)}`,
    'only a cosignature': `${log.text()}\n${signNote(log.text(), { name: 'lab/witness', key: log.lab.key }).split('\n\n')[1]}`,
  }
  for (const [name, note] of Object.entries(others))
    t.match(await submit(log, log.body(0, { note })), { status: 403, json: { code: 'unsigned_checkpoint' } }, name)
  t.equal(await heldOf(log.origin), undefined, 'nothing of it is remembered')
  const [, strange = ''] = forged.split('\n\n')
  const answer = await submit(log, log.body(0, { note: `${good}${strange}` }))
  t.equal(answer.status, 200, 'a line of nobody beside a good one is nobody’s')
  t.same(await heldOf(log.origin), { size: 7, note: good }, 'and is not kept')
})

t.test('a proof that does not lead from what we hold is refused, and both notes are kept', async (t) => {
  const log = newLog(6)
  await cosigned(t, log, 0, 'first')
  const other = makeLog(log.origin, log.lab.key, names(11, 'other'))
  log.grow(...names(5, 'more'))
  const proof = log.proof(6)
  const garbage: Record<string, string> = {
    'no proof': log.body(6, { path: [] }),
    'a hash too few': log.body(6, { path: proof.slice(0, -1) }),
    'a hash too many': log.body(6, { path: [...proof, Buffer.alloc(32)] }),
    'a hash bent': log.body(6, { path: proof.map((hash, n) => (n === 0 ? Buffer.alloc(32, 7) : hash)) }),
    'the other way round': log.body(6, { path: proof.toReversed() }),
    'another tree': other.body(6),
  }
  for (const [name, body] of Object.entries(garbage))
    t.match(await submit(log, body), { status: 422, json: { code: 'broken_proof' } }, name)
  t.match(await heldOf(log.origin), { size: 6 }, 'what we hold stays')
  const kept = await evidenceOf(log.origin)
  t.same(
    kept.map(({ kind, first_note: first, second_note: second }) => [kind, first, second]),
    [
      ['broken_proof', log.note(6), log.note()],
      ['broken_proof', log.note(6), other.note()],
    ],
    'each pair of notes once',
  )
  for (const { id } of kept)
    t.ok(
      gb.logLines.some((line) => line.includes(`"evidence":${id}`) && line.includes('"level":"error"')),
      'the log names it',
    )
  await cosigned(t, log, 6, 'the honest proof goes on from there')
  t.match(await submit(log, log.body(11, { path: [Buffer.alloc(32)] })), { status: 422 }, 'a proof where none is needed')
  const fresh = newLog(3)
  t.match(await submit(fresh, fresh.body(0, { path: [Buffer.alloc(32)] })), { status: 422 }, 'nor from nothing')
  t.same(await evidenceOf(fresh.origin), [], 'neither contradicts anything')
})

t.test('another root at the same size, or less than before, is kept for ever and alarms', async (t) => {
  const log = newLog(9)
  await cosigned(t, log, 0, 'first')
  const fork = makeLog(log.origin, log.lab.key, [...names(8), 'another last leaf'])
  const [forks, rollbacks] = [await eventsOf('checkpoint_fork'), await eventsOf('checkpoint_rollback')]
  for (const old of [0, 9, 9]) {
    const answer = await submit(log, fork.body(old, { path: [] }))
    t.same([answer.status, answer.bytes.toString()], [409, '9\n'])
  }
  const behind = await submit(log, log.body(4, { size: 5 }))
  t.same([behind.status, behind.bytes.toString()], [409, '9\n'], 'a log that was taken back')
  t.match(await evidenceOf(log.origin), [
    { kind: 'fork', member: log.lab.peer.identity.id, first_note: log.note(), second_note: fork.note() },
    { kind: 'rollback', member: log.lab.peer.identity.id, first_note: log.note(), second_note: log.note(5) },
  ])
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(await eventsOf('checkpoint_fork'), forks + 3)
  t.equal(await eventsOf('checkpoint_rollback'), rollbacks + 1)
  const { body } = await gb.call('operator', 'GET', '/operations/v1/status')
  t.ok(body.witnesses.evidence >= 2, 'the operator sees it')
  for (const change of [
    'delete from crossline.audit_evidence',
    'update crossline.audit_evidence set kind = kind',
    'truncate crossline.audit_evidence',
    'delete from crossline.peer_log',
    `update crossline.peer_log set size = 8 where origin = '${log.origin}'`,
    `update crossline.peer_log set root = '\\x${'00'.repeat(32)}' where origin = '${log.origin}'`,
    'truncate crossline.cosignature',
  ])
    await t.rejects(admin(change), { code: '42501' }, `${change}: not even a superuser, without switching triggers off`)
  log.grow('and on')
  await cosigned(t, log, 9, 'the first view goes on')
})

t.test('what has failed or was killed between storing and answering is harmless', async (t) => {
  const log = newLog(4)
  const [first, second] = await Promise.all([submit(log, log.body(0)), submit(log, log.body(0))])
  t.same([first.status, second.status].sort(), [200, 409], 'two at once: one grows, the other hears the size')
  log.grow('e', 'f')
  clock.advance(1000)
  await submit(log, log.body(4))
  await gb.stop()
  await gb.start()
  const again = await submit(log, log.body(4))
  t.same([again.status, again.bytes.toString()], [409, '6\n'], 'stored before the answer got lost')
  await cosigned(t, log, 6, 'the sender takes it up from there')
})

t.test('without its entry nothing is remembered, and nothing cosigned', async (t) => {
  const log = newLog(4)
  await setAuditWritable(gb.database.adminUrl, false)
  t.match(await submit(log, log.body(0)), { status: 503, json: { code: 'audit_unavailable' } })
  await setAuditWritable(gb.database.adminUrl, true)
  t.equal(await heldOf(log.origin), undefined)
  await cosigned(t, log, 0, 'once the log works')
})

t.test('the proof of the call counts as for every call', async (t) => {
  const log = newLog(2)
  const body = log.body(0)
  t.match(await submit(log, body, { proofs: () => [] }), { status: 401, json: { code: 'malformed_proof' } })
  const other = createHash('sha256').update('x').digest('base64url')
  t.match(await submit(log, body, { claims: (claims) => ({ ...claims, dig: other }) }), {
    status: 400,
    json: { code: 'digest_mismatch' },
  })
  t.match(await submit(log, body, { claims: (claims) => ({ ...claims, root: other, size: 1 }) }), {
    json: { code: 'malformed_proof' },
  })
  t.equal(await heldOf(log.origin), undefined)
})

t.test('our own checkpoint is served as a note', async (t) => {
  const answer = await lab.peer.get('/federation/v1/checkpoint')
  t.equal(answer.status, 200)
  t.match(answer.headers['content-type'], /^text\/plain/)
  const text = answer.bytes.toString()
  t.ok(text.startsWith(`hotline-gb/audit/${year()}\n`))
  t.match(text, `— hotline-gb/audit/${year()} `)
})
