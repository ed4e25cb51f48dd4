import t from 'tap'
import { digest, encodeHash } from '#crypto/digests.ts'
import { buildEvidence, type Evidence, type EvidenceKey, verifyEvidence, verifyOrigin } from '#crypto/evidence.ts'
import { type ProofFacts, proofTyp, signProof } from '#crypto/proof.ts'
import { type ReceiptClaims, signReceipt } from '#crypto/receipt.ts'
import { inclusionPath, leafHash, merkleRoot } from '#domain/merkle.ts'
import { claimsOf, makeKey, signOddly } from './tokens.ts'

const [author, receiver] = [await makeKey(), await makeKey()]
const now = new Date('2026-03-01T12:00:00.000Z')
const item = '01980000-0000-7000-8000-0000000000aa'
const message = {
  id: '01980000-0000-7000-8000-000000000001',
  kind: 'handoff',
  item,
  author: 'hotline-se',
  to: 'hotline-gb',
  body: { report: { origin: 'hotline-se' }, item: { id: item } },
}
const index = 2
const keys: Record<string, EvidenceKey> = { 'hotline-se': { jwk: author.publicJwk }, 'hotline-gb': { jwk: receiver.publicJwk } }
const findKey = (member: string) => keys[member]
const refused = { code: 'bad_evidence' }

interface Changes {
  line?: string
  message?: object
  proof?: Partial<ProofFacts>
  receipt?: Partial<ReceiptClaims>
}

/** A batch of five with the message at index 2, its proof and its receipt. */
async function makeEvidence(changes: Changes = {}): Promise<Evidence> {
  const line = changes.line ?? JSON.stringify({ ...message, ...changes.message })
  const leaves = ['a', 'b', line, 'd', 'e'].map((text) => leafHash(Buffer.from(text)))
  const root = encodeHash(merkleRoot(leaves))
  const facts = {
    iss: 'hotline-se',
    aud: 'hotline-gb',
    method: 'POST',
    path: '/federation/v1/batches',
    now,
    batch: { root, size: 5 },
  }
  const digests = {
    bodyDigest: digest('body'),
    certificateFingerprint: digest('certificate'),
    directory: `1:${digest('directory')}`,
  }
  const proof = await signProof(author, { ...facts, ...digests, ...changes.proof })
  const parties = { iss: 'hotline-gb', aud: 'hotline-se', batch: message.id, previous: null, checkpoint: null, now }
  const receipt = await signReceipt(receiver, {
    ...parties,
    root,
    size: 5,
    proof: digest(proof),
    exceptions: [],
    ...changes.receipt,
  })
  return buildEvidence({ message: line, index, size: 5, path: inclusionPath(leaves, index), proof, receipt })
}

const good = await makeEvidence()

t.test('shows who said the message to whom, and that it was received', async (t) => {
  const summary = await verifyEvidence(JSON.parse(JSON.stringify(good)), findKey)
  t.match(summary, {
    message,
    index,
    size: 5,
    proof: digest(good.proof),
    signedAt: now,
    leaf: encodeHash(leafHash(Buffer.from(good.message))),
  })
  t.strictSame(summary.receipt, { digest: digest(good.receipt as string), at: now, batch: message.id, status: 'stored' })
  const early = await verifyEvidence({ ...good, receipt: null }, findKey)
  t.equal(early.receipt, null, 'without a receipt it shows only that it was said')
  const twice = await makeEvidence({ receipt: { exceptions: [{ index, id: message.id, status: 'duplicate', at: 1 }] } })
  t.match(await verifyEvidence(twice, findKey), { receipt: { status: 'duplicate' } })
})

t.test('refuses evidence of another form', async (t) => {
  const odd: Record<string, unknown> = {
    nothing: null,
    'an unknown member': { ...good, more: 1 },
    'no receipt member': { ...good, receipt: undefined },
    'a path of numbers': { ...good, path: [1] },
    'a long path': { ...good, path: Array.from({ length: 54 }, () => digest('x')) },
    'a fractional index': { ...good, index: 2.5 },
    'two lines': { ...good, message: `${good.message}\n` },
    'a line that is no JSON': { ...good, message: 'x' },
    'a proof that is none': { ...good, proof: 'x' },
    'a receipt that is none': { ...good, receipt: 'x' },
  }
  for (const [name, value] of Object.entries(odd)) await t.rejects(verifyEvidence(value, findKey), refused, name)
  for (const line of [JSON.stringify(message, null, 1), `${JSON.stringify(message)}\r`]) {
    await t.rejects(
      verifyEvidence(await makeEvidence({ line }), findKey),
      { ...refused, detail: /not one line/ },
      'signed, but not one line',
    )
  }
  for (const name of ['id', 'kind', 'item', 'author', 'to']) {
    const evidence = await makeEvidence({ message: { [name]: 7 } })
    await t.rejects(verifyEvidence(evidence, findKey), refused, name)
  }
})

t.test('refuses a line, place or path that was not signed', async (t) => {
  const changed = { ...good, message: good.message.replace('"handoff"', '"withdraw"') }
  for (const odd of [
    changed,
    { ...good, index: 1 },
    { ...good, size: 6 },
    { ...good, size: 4 },
    { ...good, path: good.path.toReversed() },
    { ...good, path: good.path.slice(1) },
  ]) {
    await t.rejects(verifyEvidence(odd, findKey), refused)
    await t.rejects(verifyEvidence({ ...odd, receipt: null }, findKey), refused)
  }
})

t.test('refuses a proof of another member, to another member, for another call', async (t) => {
  const proofs: Partial<ProofFacts>[] = [
    { iss: 'hotline-jp' },
    { aud: 'hotline-jp' },
    { method: 'PUT' },
    { path: '/federation/v1/ping' },
  ]
  for (const proof of proofs)
    await t.rejects(verifyEvidence(await makeEvidence({ proof }), findKey), refused, JSON.stringify(proof))
  await t.rejects(verifyEvidence(await makeEvidence({ message: { author: 'hotline-gb', to: 'hotline-se' } }), findKey), refused)
  await t.rejects(
    verifyEvidence(good, () => undefined),
    refused,
    'no key',
  )
  await t.rejects(
    verifyEvidence(good, () => ({ jwk: receiver.publicJwk })),
    refused,
    'another key',
  )
  const callOnly = await signProof(author, {
    iss: 'hotline-se',
    aud: 'hotline-gb',
    method: 'POST',
    path: '/federation/v1/batches',
    bodyDigest: digest(''),
    certificateFingerprint: digest(''),
    directory: `1:${digest('')}`,
    now,
  })
  await t.rejects(verifyEvidence({ ...good, proof: callOnly }, findKey), refused, 'a proof without a root')
  const forged = signOddly(receiver, claimsOf(good.proof), { alg: 'ES256', typ: proofTyp, kid: author.kid })
  await t.rejects(verifyEvidence({ ...good, proof: forged, receipt: null }, findKey), refused, 'a forged signature')
})

t.test('does not care that the proof has expired, nor on which certificate it came', async (t) => {
  const old = await makeEvidence({
    proof: { now: new Date('2001-01-01T00:00:00Z'), certificateFingerprint: digest('long gone') },
  })
  await t.resolves(verifyEvidence(old, findKey))
})

t.test('refuses a receipt that is for something else or rejects the message', async (t) => {
  const receipts: Partial<ReceiptClaims>[] = [
    { proof: digest('another') },
    { root: digest('another') },
    { size: 6 },
    { iss: 'hotline-jp' },
    { aud: 'hotline-jp' },
    { exceptions: [{ index, id: message.id, status: 'rejected', code: 'wrong_state' }] },
    { exceptions: [{ index, id: item, status: 'duplicate', at: 1 }] },
  ]
  for (const receipt of receipts)
    await t.rejects(verifyEvidence(await makeEvidence({ receipt }), findKey), refused, JSON.stringify(receipt))
  const others = await makeEvidence({
    receipt: { exceptions: [{ index: 1, id: null, status: 'rejected', code: 'schema_invalid' }] },
  })
  await t.resolves(verifyEvidence(others, findKey), 'another message was rejected')
})

t.test('counts a key that has ended only with a receipt dated before', async (t) => {
  const ended = (member: string, end: object) => (name: string) =>
    name === member ? { ...(keys[name] as EvidenceKey), ...end } : keys[name]
  const [before, at, after] = ['2026-03-01T11:59:59.000Z', '2026-03-01T12:00:00.000Z', '2026-03-01T12:00:01.000Z']
  for (const member of ['hotline-se', 'hotline-gb']) {
    await t.resolves(verifyEvidence(good, ended(member, { retiredAt: after })))
    await t.resolves(verifyEvidence(good, ended(member, { revokedAt: after })))
    for (const end of [
      { retiredAt: before },
      { revokedAt: before },
      { retiredAt: at },
      { retiredAt: before, revokedAt: after },
      { retiredAt: 'never' },
    ]) {
      await t.rejects(verifyEvidence(good, ended(member, end)), refused, `${member} ${JSON.stringify(end)}`)
    }
  }
  await t.rejects(
    verifyEvidence({ ...good, receipt: null }, ended('hotline-se', { retiredAt: after })),
    refused,
    'without a receipt nothing shows when',
  )
})

t.test('verifies the origin of an item that moved on', async (t) => {
  const expected = { item, origin: 'hotline-se', via: ['hotline-se', 'hotline-gb'], findKey }
  t.match(await verifyOrigin(good, expected), { message: { author: 'hotline-se' } })
  const elsewhere = {
    'another item': { item: message.id },
    'another origin': { origin: 'hotline-gb' },
    'another first holder': { via: ['hotline-gb', 'hotline-se'] },
    'a receiver that never held it': { via: ['hotline-se', 'hotline-jp'] },
  }
  for (const [name, changes] of Object.entries(elsewhere))
    await t.rejects(verifyOrigin(good, { ...expected, ...changes }), refused, name)
  await t.rejects(verifyOrigin({ ...good, receipt: null }, expected), refused, 'no receipt')
  await t.rejects(verifyOrigin(await makeEvidence({ message: { kind: 'accept' } }), expected), refused, 'no handoff')
  await t.rejects(
    verifyOrigin(await makeEvidence({ message: { body: { report: { origin: 'hotline-jp' } } } }), expected),
    refused,
    'another report',
  )
  await t.rejects(
    verifyOrigin(await makeEvidence({ message: { body: { ...message.body, origin: good } } }), expected),
    refused,
    'it nests',
  )
  const others = await makeEvidence({ message: { body: { report: { origin: 'hotline-jp' } } } })
  await t.rejects(verifyOrigin(others, { ...expected, origin: 'hotline-jp' }), refused, 'a report of another than the author')
  for (const body of [null, [], {}, { report: 'hotline-se' }]) {
    await t.rejects(
      verifyOrigin(await makeEvidence({ message: { body } }), expected),
      refused,
      `a body like ${JSON.stringify(body)}`,
    )
  }
})

t.test('names the check that failed and no value', async (t) => {
  const error = await verifyEvidence(
    await makeEvidence({ message: { marker: 'marker' }, proof: { path: '/marker' } }),
    findKey,
  ).catch((error) => error)
  t.match(error.detail, 'the proof is for another call')
  t.notMatch(JSON.stringify([error.message, error.detail, error.cause]), 'marker')
})
