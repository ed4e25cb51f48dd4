import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { cosignCheckpoint, signCheckpoint, verifierKeyOf, verifyCheckpoint, verifySignature } from '#crypto/checkpoint-note.ts'
import { formatCheckpoint } from '#domain/checkpoint.ts'
import { formatNote, makeVerifierKey, parseNote } from '#domain/signed-note.ts'
import { parsePolicy } from '#domain/tlog-policy.ts'

const refused = { code: 'bad_checkpoint' }
const newKey = () => generateKeyPairSync('ed25519').privateKey
const origin = 'hotline-nl/audit/2026'
const checkpoint = { origin, size: 70_000, root: Buffer.alloc(32, 0x5a) }
const text = formatCheckpoint(checkpoint)
const at = new Date('2026-03-01T12:00:00.999Z')
const second = 1_772_366_400
const logKey = newKey()
const witnessKey = newKey()
const name = 'hotline-de/witness'
const logVerifier = verifierKeyOf(origin, 1, logKey)
const witnessVerifier = verifierKeyOf(name, 4, witnessKey)
const note = signCheckpoint(checkpoint, logKey)
const cosignature = cosignCheckpoint(text, { name, key: witnessKey, at })

// The specifications written down once more, from nothing but node:crypto.
const rawKey = (key: KeyObject) => createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
const keyIdOf = (keyName: string, type: number, key: KeyObject) =>
  createHash('sha256').update(`${keyName}\n`).update(Buffer.of(type)).update(rawKey(key)).digest().subarray(0, 4)
const lineOf = (keyName: string, ...parts: Uint8Array[]) => `— ${keyName} ${Buffer.concat(parts).toString('base64')}\n`
function timeOf(seconds: bigint) {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(seconds)
  return bytes
}
const logLine = (signedText: string, key: KeyObject, keyName = origin) =>
  lineOf(keyName, keyIdOf(keyName, 1, key), sign(null, Buffer.from(signedText), key))
const witnessLine = (signedText: string, seconds: bigint, key: KeyObject = witnessKey) =>
  lineOf(
    name,
    keyIdOf(name, 4, key),
    timeOf(seconds),
    sign(null, Buffer.from(`cosignature/v1\ntime ${seconds}\n${signedText}`), key),
  )

const policyText = `log ${logVerifier.text}\nwitness de ${witnessVerifier.text}\nquorum de\n`
const policy = parsePolicy(policyText)

t.test('signs and cosigns as the specifications say', async (t) => {
  t.equal(note, `${text}\n${logLine(text, logKey)}`)
  t.equal(cosignature, witnessLine(text, BigInt(second)))
  t.same(logVerifier, makeVerifierKey(origin, 1, rawKey(logKey)))
  t.same(verifierKeyOf(name, 4, createPublicKey(witnessKey)), witnessVerifier, 'also from the public key')
})

t.test('verifies a log’s signature, and the time of a cosignature', async (t) => {
  const parsed = parseNote(note + cosignature)
  t.equal(verifySignature(parsed, logVerifier), true)
  t.same(verifySignature(parsed, witnessVerifier), new Date(second * 1_000))
  t.same(verifyCheckpoint(note + cosignature, policy), {
    checkpoint,
    witnesses: [{ name: 'de', at: new Date(second * 1_000) }],
    quorum: true,
  })
})

t.test('says when the witnesses are too few, and does not throw', async (t) => {
  t.same(verifyCheckpoint(note, policy), { checkpoint, witnesses: [], quorum: false })
  t.equal(verifyCheckpoint(note, parsePolicy(`log ${logVerifier.text}\nquorum none\n`)).quorum, true)
})

t.test('ignores signers that it does not know, but not in place of those it knows', async (t) => {
  const stranger = cosignCheckpoint(text, { name: 'stranger.example', key: newKey(), at })
  const future = lineOf('future.example', Buffer.alloc(2_424))
  const verified = verifyCheckpoint(note + stranger + cosignature + future, policy)
  t.same(
    verified.witnesses.map((witness) => witness.name),
    ['de'],
  )
  t.equal(verifyCheckpoint(note + stranger + future, policy).quorum, false)
  const strangeLog = signCheckpoint(checkpoint, newKey())
  t.throws(() => verifyCheckpoint(strangeLog + cosignature, policy), refused, 'the same origin, another key')
  t.doesNotThrow(() => verifyCheckpoint(note + strangeLog.slice(strangeLog.indexOf('—')), policy), 'beside the known one')
  t.equal(verifySignature(parseNote(note), witnessVerifier), false)
  t.equal(verifySignature(parseNote(note), verifierKeyOf('another/name', 1, logKey)), false)
})

t.test('refuses the whole note when a line of a known key does not verify', async (t) => {
  const broken = (line: string, byte: number) => {
    const [dash, keyName, encoded = ''] = line.trimEnd().split(' ')
    const bytes = Buffer.from(encoded, 'base64')
    bytes.writeUInt8(bytes.readUInt8(byte) ^ 1, byte)
    return `${dash} ${keyName} ${bytes.toString('base64')}\n`
  }
  const [, line = ''] = note.split('\n\n')
  for (let byte = 4; byte < 68; byte += 7)
    t.throws(() => verifyCheckpoint(`${text}\n${broken(line, byte)}`, policy), refused, `byte ${byte}`)
  for (let byte = 4; byte < 76; byte += 7)
    t.throws(() => verifyCheckpoint(note + broken(cosignature, byte), policy), refused, `byte ${byte} of a cosignature`)
  // A changed key id makes another, unknown key of it.
  t.throws(() => verifyCheckpoint(`${text}\n${broken(line, 0)}`, policy), refused, 'nobody known has signed')
  t.equal(verifyCheckpoint(note + broken(cosignature, 0), policy).quorum, false)
})

t.test('refuses another text under the same signatures', async (t) => {
  const changes = [{ size: 70_001 }, { origin: 'hotline-nl/audit/2025' }, { root: Buffer.alloc(32, 0x5b) }]
  for (const change of changes) {
    const moved = (note + cosignature).replace(text, formatCheckpoint({ ...checkpoint, ...change }))
    t.throws(() => verifyCheckpoint(moved, policy), refused, JSON.stringify(change))
    t.throws(() => verifySignature(parseNote(moved), logVerifier), refused)
    t.throws(() => verifySignature(parseNote(moved), witnessVerifier), refused)
  }
})

t.test('takes no cosignature for a log’s signature, and no log’s signature for a cosignature', async (t) => {
  // One key in both roles, as every member has it.
  const asWitness = verifierKeyOf(origin, 4, logKey)
  const cosigned = parseNote(formatNote(text, [cosignCheckpoint(text, { name: origin, key: logKey, at })]))
  t.equal(verifySignature(cosigned, logVerifier), false, 'it has another key id')
  t.equal(verifySignature(parseNote(note), asWitness), false)
  t.throws(
    () =>
      verifyCheckpoint(
        formatNote(
          text,
          cosigned.signatures.map(({ line }) => line),
        ),
        policy,
      ),
    refused,
  )

  const { signature } = cosigned.signatures[0]!
  const log = parseNote(note).signatures[0]!
  const forged: [string, string, typeof logVerifier][] = [
    ['a cosignature under the log’s key id', lineOf(origin, logVerifier.keyId, signature), logVerifier],
    ['and without its time', lineOf(origin, logVerifier.keyId, signature.subarray(8)), logVerifier],
    ['a log’s signature under the witness’s key id', lineOf(origin, asWitness.keyId, log.signature), asWitness],
    ['and with a time', lineOf(origin, asWitness.keyId, timeOf(BigInt(second)), log.signature), asWitness],
  ]
  for (const [what, line, key] of forged) t.throws(() => verifySignature(parseNote(formatNote(text, [line])), key), refused, what)
})

t.test('cosigns nothing but a checkpoint, and takes no cosignature under anything else', async (t) => {
  for (const other of [
    '',
    'x\n',
    note,
    text.slice(0, -1),
    `${text}more\n`,
    text.replace('70000', '070000'),
    text.replaceAll('\n', '\r\n'),
  ])
    t.throws(() => cosignCheckpoint(other, { name, key: witnessKey, at }), refused, JSON.stringify(other))
  const other = 'no checkpoint\n'
  t.throws(() => verifySignature(parseNote(formatNote(other, [witnessLine(other, 1n)])), witnessVerifier), refused)
  t.throws(() => verifyCheckpoint(formatNote(other, [logLine(other, logKey)]), policy), refused, 'well signed, but none')
})

t.test('lets a log sign only for its own origin', async (t) => {
  const other = newKey()
  const both = parsePolicy(`log ${logVerifier.text}\nlog ${verifierKeyOf('hotline-fr/audit/2026', 1, other).text}\nquorum none\n`)
  const foreign = formatNote(text, [logLine(text, other, 'hotline-fr/audit/2026')])
  t.throws(() => verifyCheckpoint(foreign, both), refused)
  t.doesNotThrow(() => verifyCheckpoint(note, both))
  t.throws(() => verifyCheckpoint(note, parsePolicy('quorum none\n')), refused, 'no log is known')
})

t.test('refuses times that are none', async (t) => {
  const verify = (seconds: bigint) => verifySignature(parseNote(formatNote(text, [witnessLine(text, seconds)])), witnessVerifier)
  t.same(verify(0n), new Date(0))
  t.same(verify(8_640_000_000_000n), new Date(8_640_000_000_000_000))
  for (const seconds of [8_640_000_000_001n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n])
    t.throws(() => verify(seconds), refused, `${seconds}`)
  for (const time of [new Date(Number.NaN), new Date(-1)])
    t.throws(() => cosignCheckpoint(text, { name, key: witnessKey, at: time }), refused)
})

t.test('signs with Ed25519 keys only, and under names that a key may have', async (t) => {
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  t.throws(() => signCheckpoint(checkpoint, p256), refused)
  t.throws(() => cosignCheckpoint(text, { name, key: p256, at }), refused)
  for (const bad of ['', 'a b', 'a+b', 'a\nb']) {
    t.throws(() => signCheckpoint({ ...checkpoint, origin: bad }, logKey), refused)
    t.throws(() => cosignCheckpoint(text, { name: bad, key: witnessKey, at }), refused)
  }
})

t.test('verifies whatever it signs, and nothing with a character changed', async (t) => {
  const signed = note + cosignature
  const aChange = fc.tuple(fc.nat(signed.length - 1), fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }))
  fc.assert(
    fc.property(aChange, ([place, character]) => {
      fc.pre(signed[place] !== character)
      const changed = signed.slice(0, place) + character + signed.slice(place + 1)
      try {
        // What still verifies has lost the witness (its name or key id was hit), and says the same.
        t.same(verifyCheckpoint(changed, policy), { checkpoint, witnesses: [], quorum: false })
      } catch (error) {
        t.match(error, refused)
      }
    }),
    { numRuns: 500 },
  )
})
