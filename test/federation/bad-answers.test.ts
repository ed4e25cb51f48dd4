// Our node as the sender to a peer that lies, hangs, closes or is not who it should be: no answer but a good receipt counts, nothing is lost,
// nothing is doubled, and the operator sees it.
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { createAuthority, issueIdentity } from '#crypto/certificate-authority.ts'
import { eventually } from '../network.ts'
import { thumbprint } from '../peer.ts'
import type { Misbehaviour } from '../peer-server.ts'
import { badReceipts, onBatch, receiptUnder } from './receipts.ts'
import { startSender } from './sender.ts'

const sender = await startSender(t)
const { lab, se, client, directory, publish, submit, statusOf, peerRow } = sender
const { failsBy, countEvents, arriveAt, exactlyOnce, survives, settles } = sender

t.test('an answer that is no good receipt is none, and an alarm', async (t) => {
  const before = await countEvents('bad_receipt')
  const lies = badReceipts(se.identity)
  for (const [name, misbehave] of Object.entries(lies)) await survives(t, name, { misbehave, error: 'bad_receipt' })
  t.ok((await countEvents('bad_receipt')) >= before + Object.keys(lies).length)
})

t.test('a receipt under a retired key is none', async (t) => {
  const signKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const { kty = '', crv = '', x = '', y = '' } = createPublicKey(signKey).export({ format: 'jwk' })
  const jwk = { kty, crv, x, y } as { kty: 'EC'; crv: 'P-256'; x: string; y: string }
  const kid = thumbprint(jwk)
  const listed = directory().document.members.find(({ id }: { id: string }) => id === 'lab').keys
  await publish((described) => {
    const member = described.members.find(({ id }) => id === 'lab')
    if (member) member.keys = [...listed, { jwk, kid, use: 'sign', state: 'retired', retiredAt: '2026-10-01T00:00:00.000Z' }]
  })
  await survives(t, 'a retired key', { misbehave: receiptUnder({ kid, signKey }), error: 'bad_receipt' })
})

t.test('a network that fails in any way changes nothing but the timer', async (t) => {
  const cases: Record<string, [Misbehaviour, string]> = {
    'closes without an answer': [onBatch((_call, response) => response.destroy()), 'closed'],
    'closes in the middle of an answer': [
      onBatch((_call, response) => {
        response.writeHead(200, { 'content-length': '100' }).write('{"receipt":"')
        setTimeout(() => response.destroy(), 20)
      }),
      'closed',
    ],
    hangs: [onBatch(() => {}), 'timeout'],
    'never ends its answer': [onBatch((_call, response) => response.writeHead(200).write('{"receipt":"')), 'timeout'],
    'sends without end': [onBatch((_call, response) => response.end(Buffer.alloc(9 * 1024 * 1024, ' '))), 'too_large'],
    redirects: [onBatch((_call, response) => response.writeHead(307, { location: '/elsewhere' }).end()), 'http_307'],
    'fails unsigned': [onBatch((_call, response) => response.writeHead(503).end('busy')), 'http_503'],
    'refuses unsigned': [onBatch((_call, response) => response.writeHead(403).end('{"code":"member_suspended"}')), 'http_403'],
    'answers 200 by a signed error': [
      onBatch((call, response, peer) => void peer.refuse(call, response, { code: 'internal', status: 200 })),
      'bad_receipt',
    ],
    'refuses by an error for another call': [
      onBatch(
        (call, response, peer) => void peer.refuse({ ...call, proof: 'other' }, response, { code: 'not_a_member', status: 403 }),
      ),
      'http_403',
    ],
  }
  for (const [name, [misbehave, error]] of Object.entries(cases)) await survives(t, name, { misbehave, error })
  t.notOk(
    lab.calls.some(({ path }) => path === '/elsewhere'),
    'no redirect is followed',
  )
  t.equal((await statusOf()).quarantined, 0)
})

t.test('a peer that is down, or shows another certificate than the directory names, gets nothing until it is back', async (t) => {
  await lab.close()
  const ids = await submit(1)
  await failsBy('refused')
  const stranger = await createAuthority({ name: 'Somebody' })
  const forged = await issueIdentity(stranger, { kind: 'node', member: 'lab', dnsNames: ['localhost'], days: 2 })
  const others: [{ cert: string; key: string }, string][] = [
    [se.identity, 'pin'],
    [{ cert: forged.certificatePem, key: forged.privateKeyPem }, 'tls'],
  ]
  const seen = lab.calls.length
  for (const [as, error] of others) {
    await lab.open(as)
    await client.ping()
    await eventually(error, async () => (await client.ping()) && (await peerRow()).last_error === error)
    await lab.close()
  }
  t.equal(lab.calls.length, seen, 'not even a proof went to it')
  t.match((await statusOf()).peer, { waiting: 0, inFlight: 1, failures: Number, retryAt: String })
  await lab.open()
  await arriveAt(ids)
  await exactlyOnce(t, ids, 'down')
})

t.test('whatever the peer did, the node sent no wrong call, one batch at a time, and each item once', settles)
