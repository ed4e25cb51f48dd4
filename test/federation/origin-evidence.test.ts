// An item that moved on: the second hotline shows the first one's handoff. Good evidence is taken, and each fault of it is `bad_origin`.
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { sql } from 'kysely'
import t from 'tap'
import { createNetwork, eventually, type Member } from '../network.ts'
import {
  type Claims,
  type Clock,
  type Identity,
  makeClock,
  newId,
  proofClaims,
  proofTyp,
  randomId,
  readDirectory,
  readIdentity,
  rootOf,
  seconds,
  sha256,
  signClaims,
  thumbprint,
} from '../peer.ts'
import { openPeer } from '../peer-client.ts'
import { batchOf, type Change, type Evidence, evidenceOf, handoffOf, lineOf, messageOf } from '../peer-messages.ts'

const hosts = ['localhost', '127.0.0.1']
const members: Member[] = [
  { id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts },
  { id: 'lab', name: 'Laboratory', countries: ['PH'], hosts, runs: false },
  { id: 'hotline-se', name: 'SE', countries: ['SE'], hosts, runs: false },
  { id: 'hotline-jp', name: 'JP', countries: ['JP'], hosts, runs: false },
]
const clock = makeClock()
const network = await createNetwork(t, { members, now: clock.now })
const gb = network.get('hotline-gb')
let directory = readDirectory(network.folder)
const [lab, se, jp] = ['lab', 'hotline-se', 'hotline-jp'].map((id) => readIdentity(network.folder, id)) as [
  Identity,
  Identity,
  Identity,
]
const peer = openPeer({ identity: lab, node: gb, directory: () => directory, clock })
const toGb = { from: 'lab', to: 'hotline-gb' }
const seToLab = { from: 'hotline-se', to: 'lab' }

/** What differs from a good first handoff, its proof and its receipt. */
interface Making {
  /** The first hotline's message. */
  first?: Change
  signer?: Pick<Identity, 'id' | 'kid' | 'signKey'>
  proof?: Claims
  receiver?: Identity
  receipt?: Claims
  /** Bends the finished evidence. */
  bend?: (evidence: Evidence) => object
  /** The handoff that carries it. */
  item?: Change
  report?: Change
  at?: Clock
}

/** A handoff of an item that the first hotline handed to `lab`, with the evidence of it. */
function movedOn({ bend = (same) => same, item = {}, report = {}, ...making }: Making = {}): Change {
  const handoff = handoffOf(toGb, { item: { via: ['hotline-se', 'lab'], ...item }, report: { origin: 'hotline-se', ...report } })
  const first = { ...handoffOf(seToLab, { item: { id: handoff['item'] } }), item: handoff['item'], ...making.first }
  const origin = bend(makeEvidence(first, making))
  return { ...handoff, body: { ...(handoff['body'] as object), origin } }
}

function makeEvidence(first: Change, { signer = se, proof = {}, receiver = lab, receipt = {}, at = clock }: Making): Evidence {
  const lines = [handoffOf(seToLab), first, handoffOf(seToLab)].map(lineOf)
  const { id, body } = batchOf(seToLab, lines)
  const call = { aud: 'lab', method: 'POST', path: '/federation/v1/batches', body, clock: at, directory, lines }
  const proofJwt = signClaims(signer, proofTyp, { ...proofClaims(se, call), ...proof })
  const receiptJwt = signClaims(receiver, 'crossline-receipt+jwt', {
    iss: receiver.id,
    aud: 'hotline-se',
    iat: seconds(at),
    jti: randomId(),
    batch: id,
    root: rootOf(lines),
    size: lines.length,
    proof: sha256(proofJwt),
    exceptions: [],
    previous: null,
    checkpoint: null,
    ...receipt,
  })
  return evidenceOf(lines, 1, { proof: proofJwt, receipt: receiptJwt })
}

async function exceptionsOf(messages: readonly Change[]): Promise<{ index: number; code: string }[]> {
  const batch = batchOf(toGb, messages.map(lineOf))
  return peer.readReceipt(await peer.deliver(batch), batch)['exceptions'] as { index: number; code: string }[]
}

t.test(
  'an item that moved on is taken with the evidence of its first handoff, and everybody that held it hears of it',
  async (t) => {
    const handoff = movedOn()
    t.same(await exceptionsOf([handoff]), [])
    const item = String(handoff['item'])
    t.match((await gb.call('hotline', 'GET', `/v1/items/${item}`)).body, {
      origin: 'hotline-se',
      via: ['hotline-se', 'lab'],
      owner: 'hotline-gb',
      state: 'delivered',
    })
    t.equal((await gb.call('hotline', 'POST', `/v1/items/${item}/accept`, { reference: 'GB-1' })).status, 200)
    const { rows } = await sql`select receiver from message where item_id = ${item}::uuid and kind = 'accept' order by 1`.execute(
      gb.database.database,
    )
    t.same(rows, [{ receiver: 'hotline-se' }, { receiver: 'lab' }])
  },
)

t.test(
  'what is about the call and not the statement does not count: the proof is long over, on another connection',
  async (t) => {
    const longAgo = { now: () => new Date(clock.now().getTime() - 40 * 24 * 3_600_000), advance: () => {} }
    t.same(await exceptionsOf([movedOn({ at: longAgo }), movedOn({ proof: { cnf: { 'x5t#S256': jp.fingerprint } } })]), [])
  },
)

t.test('each fault of the evidence is bad_origin, and the others in the batch are stored', async (t) => {
  const flip = (text: string) => text.slice(0, -2) + (text.at(-2) === 'A' ? 'B' : 'A') + text.slice(-1)
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const cases: Record<string, Making> = {
    'one character of the message': { bend: (good) => ({ ...good, message: good.message.replace('"media"', '"medix"') }) },
    'another place': { bend: (good) => ({ ...good, index: 0 }) },
    'a place outside': { bend: (good) => ({ ...good, index: 3 }) },
    'another size': { bend: (good) => ({ ...good, size: 4 }) },
    'a path too short': { bend: (good) => ({ ...good, path: good.path.slice(1) }) },
    'a path too long': { bend: (good) => ({ ...good, path: [...good.path, sha256('more')] }) },
    'another path': { bend: (good) => ({ ...good, path: good.path.toReversed() }) },
    'a changed proof': { bend: (good) => ({ ...good, proof: flip(good.proof) }) },
    'a padded proof': { bend: (good) => ({ ...good, proof: `${good.proof}=` }) },
    'a changed receipt': { bend: (good) => ({ ...good, receipt: flip(good.receipt) }) },
    'the receipt of another batch': { bend: (good) => ({ ...good, receipt: makeEvidence(handoffOf(seToLab), {}).receipt }) },
    'a proof by another member': { signer: lab },
    'a proof by a stranger': { signer: { ...se, signKey: stranger } },
    'a proof of another method': { proof: { htm: 'PUT' } },
    'a proof of another path': { proof: { htu: '/federation/v1/ping' } },
    'a proof for another root': { proof: { root: sha256('other') } },
    'a proof without a root': { proof: { root: undefined, size: undefined } },
    'a proof for another member': { proof: { aud: 'hotline-jp' } },
    'a proof in another name': { proof: { iss: 'hotline-jp' } },
    'a receipt by another member': { receiver: jp },
    'a receipt for another member': { receipt: { aud: 'hotline-jp' } },
    'a receipt of another proof': { receipt: { proof: sha256('other') } },
    'a receipt of another root': { receipt: { root: sha256('other') } },
    'a receipt of another size': { receipt: { size: 2 } },
    'a receipt that rejects it': { receipt: { exceptions: [{ index: 1, id: null, status: 'rejected', code: 'wrong_state' }] } },
    'a message that is no handoff': { first: { kind: 'accept' } },
    'a message about another item': { first: { item: newId() } },
    'a message of another author': { first: { author: 'hotline-jp' } },
    'a message to another receiver': { first: { to: 'hotline-jp' } },
    'a report of another origin': { report: { origin: 'lab' } },
    'a first hotline that is not the first': { item: { via: ['hotline-jp', 'lab'] }, report: { origin: 'hotline-jp' } },
    'a receiver that never held the item': {
      item: { via: ['hotline-se', 'hotline-jp', 'lab'] },
      first: { to: 'hotline-gb' },
      proof: { aud: 'hotline-gb' },
      receiver: readIdentity(network.folder, 'hotline-gb'),
    },
    'evidence inside the evidence': {
      first: { body: { report: { origin: 'hotline-se' }, item: {}, origin: makeEvidence(handoffOf(seToLab), {}) } },
    },
    'evidence where nothing moved': { item: { via: ['lab'] }, report: { origin: 'lab' } },
  }
  const names = Object.keys(cases)
  const exceptions = await exceptionsOf([...Object.values(cases).map(movedOn), movedOn()])
  for (const [index, name] of names.entries())
    t.equal(exceptions.find((exception) => exception.index === index)?.code, 'bad_origin', name)
  t.equal(exceptions.length, names.length, 'the good one at the end is stored')
})

t.test('evidence that is not of its form is schema_invalid', async (t) => {
  const bends: Making['bend'][] = [() => ({}), (good) => ({ ...good, extra: 1 }), (good) => ({ ...good, receipt: null })]
  const exceptions = await exceptionsOf(bends.map((bend) => movedOn(bend ? { bend } : {})))
  t.same(
    exceptions.map(({ code }) => code),
    bends.map(() => 'schema_invalid'),
  )
})

t.test('a handoff of a moved item without any evidence is bad_origin', async (t) => {
  const handoff = handoffOf(toGb, { item: { via: ['hotline-se', 'lab'] }, report: { origin: 'hotline-se' } })
  t.match(await exceptionsOf([handoff]), [{ code: 'bad_origin' }])
})

t.test('a line may be longer with evidence, up to its own limit', async (t) => {
  const good = movedOn()
  const first = messageOf(toGb, 'handoff', good['body'] as object, { item: good['item'], ext: { a: 'x'.repeat(70_000) } })
  t.same(await exceptionsOf([first]), [])
  t.match(await exceptionsOf([{ ...movedOn(), ext: { a: 'x'.repeat(196_608) } }]), [{ code: 'too_large' }])
})

t.test('under a key that has since ended, evidence counts only with a receipt dated before the end', async (t) => {
  const keys = ['retiredAt', 'revokedAt'].map((end) => {
    const signKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    const { kty, crv, x, y } = createPublicKey(signKey).export({ format: 'jwk' })
    return {
      signKey,
      end,
      jwk: { kty, crv, x, y } as { kty: 'EC'; crv: 'P-256'; x: string; y: string },
      kid: thumbprint({ kty, crv, x, y }),
    }
  })
  const endedAt = new Date(clock.now().getTime() - 10 * 24 * 3_600_000).toISOString()
  const current = directory.document.members.find(({ id }: { id: string }) => id === 'hotline-se').keys
  await network.publish((described) => {
    const member = described.members.find(({ id }) => id === 'hotline-se')
    if (member)
      member.keys = [
        ...current,
        ...keys.map(({ jwk, kid, end }) => ({
          jwk,
          kid,
          use: 'sign' as const,
          state: end === 'retiredAt' ? ('retired' as const) : ('revoked' as const),
          [end]: endedAt,
        })),
      ]
  })
  directory = readDirectory(network.folder)
  await peer.ping()
  await eventually('the node holds it', async () => {
    const { body } = await gb.call('operator', 'GET', '/operations/v1/status')
    return body.directory.version === directory.version
  })
  const daysAgo = (days: number): Clock => ({
    now: () => new Date(clock.now().getTime() - days * 24 * 3_600_000),
    advance: () => {},
  })
  for (const { kid, signKey, end } of keys) {
    const signer = { id: 'hotline-se', kid, signKey }
    t.same(await exceptionsOf([movedOn({ signer, at: daysAgo(20) })]), [], `${end}: before`)
    t.match(await exceptionsOf([movedOn({ signer, at: daysAgo(5) })]), [{ code: 'bad_origin' }], `${end}: after`)
  }
})
