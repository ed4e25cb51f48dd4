// Our node and witnesses that lie: nothing but a good cosignature counts, nothing that a peer merely says halts our log, and what it can
// show under our own signature does.
import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { examineWitnesses } from '#commands/doctor-witnesses.ts'
import { holdDirectory } from '#domain/held-directory.ts'
import type { Root } from '#schema/directory.ts'
import { withClient } from '#storage/admin-client.ts'
import { createNetwork, eventually, type Member } from '../network.ts'
import { makeClock, portOf, readDirectory, readIdentity, seconds } from '../peer.ts'
import { type Misbehaviour, type SeenCall, startPeerServer } from '../peer-server.ts'
import { cosign, makeLog, readAuditKey, signNote } from '../witness-log.ts'

const hosts = ['localhost', '127.0.0.1']
const members: Member[] = [
  { id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts },
  { id: 'lab', name: 'Laboratory', countries: ['PH'], hosts, runs: false },
  { id: 'hotline-se', name: 'SE', countries: ['SE'], hosts, runs: false },
]
const clock = makeClock()
const network = await createNetwork(t, { members, now: clock.now, peerWaitMs: 600, witnessRoundMs: 100 })
const gb = network.get('hotline-gb')
const directory = () => readDirectory(network.folder)
const startPeer = (id: string) =>
  startPeerServer(t, {
    identity: readIdentity(network.folder, id),
    port: portOf(directory(), id),
    clock,
    directory,
    node: 'hotline-gb',
  })
const [lab, se] = await Promise.all([startPeer('lab'), startPeer('hotline-se')])
const keyOf = (id: string) => readAuditKey(network.folder, id)
const origin = `hotline-gb/audit/${clock.now().getUTCFullYear()}`

/** What a request of ours says: old size, proof, the text of its checkpoint. */
function read({ body }: SeenCall): { old: number; size: number; text: string; note: string } {
  const [head = '', ...rest] = body.toString().split('\n\n')
  const note = rest.join('\n\n')
  const text = `${rest[0]}\n`
  return { old: Number(head.split('\n')[0]?.slice(4)), size: Number(text.split('\n')[1]), text, note }
}

const isSubmission = ({ path }: SeenCall) => path === '/federation/v1/witness'
/** How a peer answers a submission; everything else it answers well. */
const onSubmission =
  (answer: (call: SeenCall, response: ServerResponse) => unknown): Misbehaviour =>
  (call, response) => {
    if (!isSubmission(call)) return false
    answer(call, response)
    return true
  }
const lines = (response: ServerResponse, text: string) => response.writeHead(200, { 'content-type': 'text/plain' }).end(text)
const conflict = (response: ServerResponse, body: string, shown?: string) =>
  response
    .writeHead(409, {
      'content-type': 'text/x.tlog.size',
      ...(shown === undefined ? {} : { 'crossline-checkpoint': Buffer.from(shown).toString('base64url') }),
    })
    .end(body)
const good = (id: string, change: { key?: string; name?: string; at?: number; text?: string } = {}) =>
  onSubmission((call, response) => {
    const { key = id, name = `${id}/witness`, at = seconds(clock), text = read(call).text } = change
    lines(response, cosign(text, { name, key: keyOf(key), seconds: at }))
  })

const statusOf = async () => (await gb.call('operator', 'GET', '/operations/v1/status')).body
const aboutLab = async () => (await statusOf()).witnesses.peers.find(({ member }: { member: string }) => member === 'lab')
const cosignedByLab = async () =>
  (
    await withClient(gb.database.adminUrl, (client) =>
      client.query("select size from crossline.cosignature where witness = 'lab/witness'"),
    )
  ).rowCount

/** Time passes, so that who failed is asked again; more is written, so that there is something to cosign. */
async function nextRound(): Promise<void> {
  clock.advance(61_000)
  const item = { contentType: 'media', statedCountry: { country: 'GB', by: 'an-1', reason: 'seen there' } }
  const report = {
    reference: 'F',
    receivedAt: '2026-11-01T10:00:00.000Z',
    source: 'public_form',
    siteType: 'website',
    commerciality: 'not_determined',
    items: [item],
  }
  await gb.call('hotline', 'POST', '/v1/reports', report)
}

async function isNotCounted(
  t: Test,
  name: string,
  { misbehave, error }: { misbehave: Misbehaviour; error: string },
): Promise<void> {
  const before = await cosignedByLab()
  const { failures } = await aboutLab()
  lab.misbehave = misbehave
  await nextRound()
  await eventually(`${name}: ${error}`, async () => {
    const peer = await aboutLab()
    return peer.failures > failures && peer.lastError === error
  })
  t.equal(await cosignedByLab(), before, `${name}: nothing is kept`)
  t.equal((await statusOf()).audit.halted, null, `${name}: nothing halts`)
}

t.test('a good cosignature of each is a quorum', async (t) => {
  lab.misbehave = good('lab')
  se.misbehave = good('hotline-se')
  const { witnesses } = await eventually('a quorum', async () => {
    const status = await statusOf()
    return status.witnesses.quorumSize !== null && status
  })
  t.match(witnesses, { witnessed: 2, of: 2 })
})

t.test('a cosignature that is none is not counted', async (t) => {
  const stale = cosign(`${origin}\n1\n${Buffer.alloc(32).toString('base64')}\n`, {
    name: 'lab/witness',
    key: keyOf('lab'),
    seconds: seconds(clock),
  })
  const lies: Record<string, [Misbehaviour, string]> = {
    'another key under its name': [good('lab', { key: 'hotline-se' }), 'bad_cosignature'],
    'another witness’ name': [good('lab', { name: 'hotline-se/witness' }), 'bad_cosignature'],
    'another member’s good line': [good('hotline-se'), 'bad_cosignature'],
    'a signature over another checkpoint': [onSubmission((_call, response) => lines(response, stale)), 'bad_cosignature'],
    'a log’s signature in place of a witness’': [
      onSubmission((call, response) =>
        lines(response, signNote(read(call).text, { name: 'lab/witness', key: keyOf('lab') }).split('\n\n')[1] ?? ''),
      ),
      'bad_cosignature',
    ],
    'a time of an hour ago': [good('lab', { at: Math.floor(Date.now() / 1000) - 86_400 }), 'clock_skew'],
    'a time far ahead': [good('lab', { at: Math.floor(Date.now() / 1000) + 86_400 }), 'clock_skew'],
    'an empty answer': [onSubmission((_call, response) => lines(response, '')), 'bad_cosignature'],
    'no line at all': [onSubmission((_call, response) => lines(response, 'thank you\n')), 'bad_cosignature'],
    'a size that is none': [onSubmission((_call, response) => conflict(response, 'many\n')), 'bad_answer'],
    'a size without its newline': [onSubmission((_call, response) => conflict(response, '1')), 'bad_answer'],
    'the size that we named': [onSubmission((call, response) => conflict(response, `${read(call).old}\n`)), 'bad_answer'],
    'another size each time': [
      onSubmission((call, response) => conflict(response, `${(read(call).old % 3) + 1}\n`)),
      'bad_answer',
    ],
    'an unsigned refusal': [onSubmission((_call, response) => response.writeHead(422).end('no')), 'http_422'],
    hangs: [onSubmission(() => {}), 'timeout'],
  }
  for (const [name, [misbehave, error]] of Object.entries(lies)) await isNotCounted(t, name, { misbehave, error })
  await eventually('the broken promises are security events', async () => {
    const { securityEvents } = await statusOf()
    return securityEvents.find(({ code }: { code: string }) => code === 'witness_bad_cosignature')?.count >= 7
  })
  t.ok(
    gb.logLines.some((line) => line.includes('"code":"clock_skew"') && line.includes('"peer":"lab"')),
    'a clock that is wrong is told by the log',
  )
  const { document, version, hash, bytes } = directory()
  const held = holdDirectory({ document, version, hash, bytes, root: {} as Root })
  const findings = await examineWitnesses(gb.database.database, { self: 'hotline-gb', directory: held, now: clock.now() })
  t.ok(
    findings.some(({ result, says }) => result === 'warning' && says.startsWith('lab cosigned with a time more than a minute')),
    'and by the doctor',
  )
})

t.test('that it holds more, or that our proof fails, must be shown under our own signature', async (t) => {
  const claims: Record<string, [Misbehaviour, string]> = {
    'more than we hold': [onSubmission((_call, response) => conflict(response, '9007199254740991\n')), 'unproven_claim'],
    'a note of its own': [
      onSubmission((_call, response) =>
        conflict(
          response,
          '5000000\n',
          signNote(`${origin}\n5000000\n${Buffer.alloc(32).toString('base64')}\n`, { name: origin, key: keyOf('lab') }),
        ),
      ),
      'unproven_claim',
    ],
    'a note of ours of another size': [
      onSubmission((call, response) => conflict(response, '5000000\n', read(call).note)),
      'unproven_claim',
    ],
    'a note of another log of ours': [
      onSubmission((_call, response) =>
        conflict(response, '3\n', makeLog('hotline-gb/audit/1999', keyOf('hotline-gb'), ['a', 'b', 'c']).note()),
      ),
      'bad_answer',
    ],
    'no note': [onSubmission((_call, response) => conflict(response, '5000000\n', 'no note')), 'unproven_claim'],
    'that our proof fails': [
      (call, response, peer) => isSubmission(call) && peer.refuse(call, response, { code: 'broken_proof', status: 422 }),
      'broken_proof',
    ],
  }
  for (const [name, [misbehave, error]] of Object.entries(claims)) await isNotCounted(t, name, { misbehave, error })
  const { evidence } = (await statusOf()).witnesses
  t.equal(evidence, 0, 'nothing of it is evidence')
})

t.test('a witness that has forgotten us, or is behind, is served from there', async (t) => {
  let held = 0
  const olds: number[] = []
  lab.misbehave = onSubmission((call, response) => {
    const { old, size, text } = read(call)
    olds.push(old)
    if (old !== held) return conflict(response, `${held}\n`)
    held = size
    return lines(response, cosign(text, { name: 'lab/witness', key: keyOf('lab'), seconds: seconds(clock) }))
  })
  await nextRound()
  await eventually('it cosigns from nothing', async () => held > 0 && (await aboutLab()).failures === 0)
  t.ok(olds.includes(0))
  lab.misbehave = good('lab')
  await nextRound()
  await eventually('both cosign', async () => (await aboutLab()).lastError === null)
})

t.test('a witness that wants to be asked later is asked later, and not doubted', async (t) => {
  const count = () => lab.calls.filter(isSubmission).length
  const codes = async () => (await statusOf()).securityEvents
  const before = await codes()
  lab.misbehave = (call, response, peer) =>
    isSubmission(call) && peer.refuse(call, response, { code: 'rate_limited', status: 429, retryAfter: 20 })
  await nextRound()
  await eventually('the status tells it', async () => (await aboutLab()).lastError === 'rate_limited')
  t.equal((await aboutLab()).failures, 0)
  const asked = count()
  clock.advance(15_000)
  const rounds = se.calls.filter(isSubmission).length
  await eventually('others are asked on', async () => se.calls.filter(isSubmission).length > rounds + 3)
  t.equal(count(), asked, 'nobody asks before the time')
  lab.misbehave = good('lab')
  clock.advance(5000)
  await eventually('then it is asked, and cosigns', async () => (await aboutLab()).lastError === null)
  t.ok(count() > asked)
  t.same(await codes(), before, 'no security event')
})

t.test('a peer that is held to nothing gets nothing else wrong', async (t) => {
  t.same(
    [...lab.faults, ...se.faults].filter((fault) => !fault.startsWith('the proof is not fresh')),
    [],
  )
})

t.test('a note of ours that says more than we hold halts the sealing, and is kept', async (t) => {
  const more = signNote(`${origin}\n5000000\n${Buffer.alloc(32, 1).toString('base64')}\n`, {
    name: origin,
    key: keyOf('hotline-gb'),
  })
  lab.misbehave = onSubmission((_call, response) => conflict(response, '5000000\n', more))
  await nextRound()
  const { witnesses } = await eventually('it halts', async () => {
    const status = await statusOf()
    return status.audit.halted?.why === 'rollback' && status
  })
  t.equal(witnesses.evidence, 1)
  const { rows } = await withClient(gb.database.adminUrl, (client) => client.query('select * from crossline.audit_evidence'))
  t.match(rows, [{ kind: 'rollback', member: 'lab', origin, first_note: more }])
})
