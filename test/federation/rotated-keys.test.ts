// A peer whose signing key ends while a receipt of it is outstanding: it can only give the same bytes again, so the date of the receipt and
// the life of its key decide, and nothing waits for ever without a person seeing why.
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { eventually } from '../network.ts'
import { type Identity, signClaims, thumbprint } from '../peer.ts'
import { onBatch } from './receipts.ts'
import { startSender } from './sender.ts'

const sender = await startSender(t)
const { lab, client, clock, directory, publish, submit, statusOf, failsBy, arriveAt, exactlyOnce, countEvents } = sender

interface Listed {
  jwk: { kty: 'EC'; crv: 'P-256'; x: string; y: string }
  kid: string
  use: 'sign'
  state: 'current' | 'retired' | 'revoked'
  retiredAt?: string
  revokedAt?: string
}

function makeKey(): Pick<Identity, 'kid' | 'signKey'> & { jwk: Listed['jwk'] } {
  const signKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const { kty = '', crv = '', x = '', y = '' } = createPublicKey(signKey).export({ format: 'jwk' })
  const jwk = { kty, crv, x, y } as Listed['jwk']
  return { signKey, jwk, kid: thumbprint(jwk) }
}

const listedKeys = (): Listed[] => directory().document.members.find(({ id }: { id: string }) => id === 'lab').keys

async function publishKeys(keys: readonly Listed[]): Promise<void> {
  await publish((described) => {
    const member = described.members.find(({ id }) => id === 'lab')
    if (member) member.keys = [...keys]
  })
}

/** The peer signs by a new key from now on, and its old one ends as given. */
async function rotate(end: Pick<Listed, 'state' | 'retiredAt' | 'revokedAt'>): Promise<void> {
  const next = makeKey()
  const old = lab.identity.kid
  const keys = listedKeys().map((key) => (key.kid === old ? { ...key, ...end } : key))
  for (const identity of [lab.identity, client.identity]) Object.assign(identity, { signKey: next.signKey, kid: next.kid })
  await publishKeys([...keys, { jwk: next.jwk, kid: next.kid, use: 'sign', state: 'current' }])
}

/** Submits; the peer commits, and its receipt is neither heard nor given until it may be. */
async function submitUnheard(): Promise<string[]> {
  lab.misbehave = async (call, response, peer) => {
    if (call.batch) peer.commit(call)
    if (call.batch || call.path.includes('/receipts/')) response.destroy()
    return call.batch !== undefined || call.path.includes('/receipts/')
  }
  const ids = await submit(1)
  await failsBy('closed')
  return ids
}

t.test(
  'a receipt that was signed before its key was retired counts when it is heard at last, and what waited goes out',
  async (t) => {
    const ids = await submitUnheard()
    clock.advance(2000)
    await rotate({ state: 'retired', retiredAt: clock.now().toISOString() })
    lab.misbehave = undefined
    await arriveAt(ids)
    const more = await submit(2)
    await arriveAt(more)
    await exactlyOnce(t, [...ids, ...more], 'rotated')
    t.equal(await countEvents('bad_receipt'), 0)
  },
)

t.test('so does one whose key was revoked after it', async (t) => {
  const ids = await submitUnheard()
  clock.advance(2000)
  await rotate({ state: 'revoked', revokedAt: clock.now().toISOString() })
  lab.misbehave = undefined
  await arriveAt(ids)
  await exactlyOnce(t, ids, 'revoked later')
})

t.test('under a key that had ended, a receipt that says it is older than its own proof is none', async (t) => {
  const old = makeKey()
  const retiredAt = new Date(clock.now().getTime() - 3_600_000)
  await publishKeys([
    ...listedKeys(),
    { jwk: old.jwk, kid: old.kid, use: 'sign', state: 'retired', retiredAt: retiredAt.toISOString() },
  ])
  lab.misbehave = onBatch((call, response, peer) => {
    const claims = peer.claimsFor(call, { iat: Math.floor(retiredAt.getTime() / 1000) - 60 })
    response.writeHead(200).end(JSON.stringify({ receipt: signClaims(old, 'crossline-receipt+jwt', claims) }))
  })
  const ids = await submit(1)
  await failsBy('bad_receipt')
  lab.misbehave = undefined
  await arriveAt(ids)
  await exactlyOnce(t, ids, 'back-dated')
})

t.test('a receipt of a key that was revoked before holds the destination, visibly', async (t) => {
  const revokedAt = new Date(clock.now().getTime() - 1000).toISOString()
  const ids = await submitUnheard()
  await rotate({ state: 'revoked', revokedAt })
  lab.misbehave = undefined
  await eventually('it is held', async () => (await client.ping()) && (await statusOf()).peer.state === 'held')
  t.match((await statusOf()).peer, { heldReason: 'revoked_receipt', inFlight: 1, retryAt: String })
  t.ok((await countEvents('revoked_receipt')) >= 1)
  t.same(await sender.statesOf(ids), ['sent'])
})
