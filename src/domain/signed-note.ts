// C2SP signed-note: a text and the lines that sign it, and the keys that such lines name. Form only; crypto/checkpoint-note.ts verifies.
// Stricter than the specification asks: no control character at all, and no key that signs twice.

import { hash } from 'node:crypto'
import { CrosslineError } from '#errors.ts'
import { parseBase64 } from './exact-text.ts'

/** One signature line. Whose it is nobody knows until it verifies. */
export interface NoteSignature {
  name: string
  /** 4 bytes: with the name, which key signed. */
  keyId: Buffer
  signature: Buffer
  /** The line as it came, with its newline. */
  line: string
}

export interface SignedNote {
  /** What is signed, with its last newline. */
  text: string
  signatures: NoteSignature[]
}

/** A public key as verifiers share it. Type 1 signs checkpoints of a log, type 4 cosigns them with a time. */
export interface VerifierKey {
  name: string
  type: 1 | 4
  keyId: Buffer
  publicKey: Buffer
  /** `<name>+<key id>+<base64 of type and key>` */
  text: string
}

// The specification asks for at least 16 signatures; a post-quantum one has nearly 5 kB.
const maxSignatures = 100
const maxNoteLength = 1_048_576
const signatureLine = /^— ([^ ]+) ([A-Za-z0-9+/=]+)$/u
// U+FFFD is what is left of bytes that were no UTF-8.
const forbidden = /[^\P{Cc}\n]|\ufffd/u
// What Unicode or a terminal takes for a space, and the plus that separates the parts of a key.
const notInName = /[\s\p{Cc}\p{Z}+]/u

/** Splits a note into its text and signatures. Throws `bad_checkpoint` for anything but its exact form. */
export function parseNote(note: string): SignedNote {
  if (note.length > maxNoteLength) throw refusal('the note is too long')
  if (!note.isWellFormed() || forbidden.test(note)) throw refusal('the note holds a character that no note may hold')
  // The text may hold empty lines itself: the last one ends it.
  const end = note.lastIndexOf('\n\n')
  if (end < 0 || !note.endsWith('\n')) throw refusal('the note has no text, no signature or no last newline')
  const lines = note.slice(end + 2, -1).split('\n')
  if (lines.length > maxSignatures) throw refusal('the note has too many signatures')
  const signatures = lines.map(parseSignatureLine)
  refuseSecondSignature(signatures)
  return { text: note.slice(0, end + 1), signatures }
}

/** Puts signature lines, each with its newline, under a text. Throws `bad_checkpoint` when that is no note. */
export function formatNote(text: string, lines: readonly string[]): string {
  const note = `${text}\n${lines.join('')}`
  const parsed = parseNote(note)
  if (parsed.text !== text || parsed.signatures.length !== lines.length) throw refusal('the text or a line is not complete')
  return note
}

/** One signature line with its newline. Throws `bad_checkpoint` for a name that no key may have. */
export function formatSignatureLine(name: string, keyId: Uint8Array, signature: Uint8Array): string {
  return `— ${checkKeyName(name)} ${Buffer.concat([keyId, signature]).toString('base64')}\n`
}

/** Gives back a name that a key or a log may have. Throws `bad_checkpoint`. */
export function checkKeyName(name: string): string {
  if (name === '' || !name.isWellFormed() || notInName.test(name) || forbidden.test(name))
    throw refusal('a name is empty or holds a space, a plus or a control character')
  return name
}

/** Reads `<name>+<key id>+<base64 of type and key>`. Throws `bad_checkpoint`, also when the key id is not this key's. */
export function parseVerifierKey(text: string): VerifierKey {
  const [, name = '', keyId, encoded = ''] = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/su.exec(text) ?? []
  const bytes = parseBase64(encoded)
  const type = bytes?.[0]
  if (!bytes || (type !== 1 && type !== 4)) throw refusal('a verifier key is not one of Ed25519 or cosignature/v1')
  const key = makeVerifierKey(name, type, bytes.subarray(1))
  if (key.keyId.toString('hex') !== keyId) throw refusal('the key id does not belong to the verifier key')
  return key
}

/** A verifier key from its parts: 32 bytes of Ed25519. Throws `bad_checkpoint`. */
export function makeVerifierKey(name: string, type: 1 | 4, publicKey: Buffer): VerifierKey {
  if (publicKey.length !== 32) throw refusal('a public key has not 32 bytes')
  const typed = Buffer.concat([Buffer.of(type), publicKey])
  const keyId = hash('sha256', Buffer.concat([Buffer.from(`${checkKeyName(name)}\n`), typed]), 'buffer').subarray(0, 4)
  return { name, type, keyId, publicKey, text: `${name}+${keyId.toString('hex')}+${typed.toString('base64')}` }
}

function parseSignatureLine(line: string): NoteSignature {
  const [, name = '', encoded = ''] = signatureLine.exec(line) ?? []
  const bytes = parseBase64(encoded)
  if (!bytes || bytes.length <= 4) throw refusal('a signature line does not have its form')
  return { name: checkKeyName(name), keyId: bytes.subarray(0, 4), signature: bytes.subarray(4), line: `${line}\n` }
}

function refuseSecondSignature(signatures: readonly NoteSignature[]): void {
  const keys = new Set(signatures.map(({ name, keyId }) => `${name}+${keyId.toString('hex')}`))
  if (keys.size !== signatures.length) throw refusal('a key has signed twice')
}

const refusal = (why: string): CrosslineError => new CrosslineError('bad_checkpoint', { detail: `Not a signed note: ${why}` })
