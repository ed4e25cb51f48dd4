// Signs checkpoints as a log, cosigns them as a witness (C2SP tlog-cosignature, cosignature/v1), and verifies both. Ed25519 only.
// A cosignature signs a header and a time before the same text, so neither kind can ever stand for the other.

import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { type Checkpoint, formatCheckpoint, parseCheckpoint } from '#domain/checkpoint.ts'
import {
  formatNote,
  formatSignatureLine,
  makeVerifierKey,
  type NoteSignature,
  parseNote,
  type SignedNote,
  type VerifierKey,
} from '#domain/signed-note.ts'
import { meetsQuorum, type Policy } from '#domain/tlog-policy.ts'
import { CrosslineError } from '#errors.ts'

/** Who cosigns, with which private key, and the time to state. */
export interface Cosigner {
  name: string
  key: KeyObject
  at: Date
}

/** What a verified note says, and which witnesses of the policy say so too. */
export interface VerifiedCheckpoint {
  checkpoint: Checkpoint
  /** By their names in the policy, in its order; `at` is the witness's claim, in whole seconds. */
  witnesses: { name: string; at: Date }[]
  /** Whether these witnesses are enough for the policy. */
  quorum: boolean
}

const signatureBytes = 64
const timeBytes = 8
/** The last second that a Date can hold. */
const maxSeconds = 8_640_000_000_000

/** The note in which a log states its checkpoint; the key's name is the origin. Throws `bad_checkpoint` for an impossible one. */
export function signCheckpoint(checkpoint: Checkpoint, key: KeyObject): string {
  const text = formatCheckpoint(checkpoint)
  const { keyId } = verifierKeyOf(checkpoint.origin, 1, key)
  return formatNote(text, [formatSignatureLine(checkpoint.origin, keyId, sign(null, Buffer.from(text), key))])
}

/** One signature line, with its newline, under a checkpoint's text (not its whole note). Throws `bad_checkpoint`. */
export function cosignCheckpoint(noteText: string, by: Cosigner): string {
  parseCheckpoint(noteText)
  const seconds = Math.floor(by.at.getTime() / 1_000)
  if (!(seconds >= 0)) throw refusal('the time of a cosignature is before 1970, or none')
  const time = Buffer.alloc(timeBytes)
  time.writeBigUInt64BE(BigInt(seconds))
  const signature = sign(null, cosignedBytes(noteText, seconds), by.key)
  return formatSignatureLine(by.name, verifierKeyOf(by.name, 4, by.key).keyId, Buffer.concat([time, signature]))
}

/**
 * Whether a note is signed by a key: true for a log's signature, the stated time for a cosignature, false when it has no line of
 * this key. Throws `bad_checkpoint` when it has one that does not verify.
 */
export function verifySignature(note: SignedNote, key: VerifierKey): Date | true | false {
  const line = note.signatures.find(({ name, keyId }) => name === key.name && keyId.equals(key.keyId))
  if (!line) return false
  return key.type === 1 ? verifyLogSignature(note.text, line, key) : verifyCosignature(note.text, line, key)
}

/**
 * Verifies a whole note: a checkpoint, signed by a log of the policy under its own origin, every line of a known key good.
 * Throws `bad_checkpoint`; too few witnesses are no error but `quorum: false`.
 */
export function verifyCheckpoint(note: string, policy: Policy): VerifiedCheckpoint {
  const parsed = parseNote(note)
  const checkpoint = parseCheckpoint(parsed.text)
  // Every known key is tried, also after the first that verifies: one bad line spoils the note.
  const signers = policy.logs.filter((key) => verifySignature(parsed, key) !== false)
  if (!signers.some(({ name }) => name === checkpoint.origin)) throw refusal('no known key of its log has signed it')
  const witnesses = policy.witnesses.flatMap(({ name, key }) => {
    const at = verifySignature(parsed, key)
    return at instanceof Date ? [{ name, at }] : []
  })
  return { checkpoint, witnesses, quorum: meetsQuorum(policy, new Set(witnesses.map(({ name }) => name))) }
}

/** The verifier key that belongs to a private or public Ed25519 key under a name. Throws `bad_checkpoint` for any other key. */
export function verifierKeyOf(name: string, type: 1 | 4, key: KeyObject): VerifierKey {
  if (key.asymmetricKeyType !== 'ed25519') throw refusal('only Ed25519 keys sign checkpoints')
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  const { x = '' } = publicKey.export({ format: 'jwk' })
  return makeVerifierKey(name, type, Buffer.from(x, 'base64url'))
}

function verifyLogSignature(text: string, { signature }: NoteSignature, key: VerifierKey): true {
  verifyEd25519(Buffer.from(text), signature, key)
  return true
}

function verifyCosignature(text: string, { signature }: NoteSignature, key: VerifierKey): Date {
  if (signature.length !== timeBytes + signatureBytes) throw refusal('a cosignature has not its length')
  // A witness states what it saw of a log: under any other text its signature means nothing.
  parseCheckpoint(text)
  const seconds = signature.readBigUInt64BE()
  if (seconds > BigInt(maxSeconds)) throw refusal('the time of a cosignature is out of range')
  verifyEd25519(cosignedBytes(text, Number(seconds)), signature.subarray(timeBytes), key)
  return new Date(Number(seconds) * 1_000)
}

function verifyEd25519(bytes: Buffer, signature: Buffer, { publicKey }: VerifierKey): void {
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey.toString('base64url') }, format: 'jwk' })
  if (!verify(null, bytes, key, signature)) throw refusal('a signature does not verify')
}

const cosignedBytes = (text: string, seconds: number): Buffer => Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`)

const refusal = (why: string): CrosslineError => new CrosslineError('bad_checkpoint', { detail: `Checkpoint refused: ${why}` })
