// General JSON JWS (RFC 7515, 7.2.1) with a threshold: how roots and directories are signed. jose signs and verifies each signature;
// what counts, and how often, is decided here: a key counts once however often it signs, and a stranger's signature counts nothing.
import type { KeyObject } from 'node:crypto'
import { flattenedVerify, GeneralSign } from 'jose'
import { thumbprintOf } from '#domain/directory-contents.ts'
import { type FormCheck, findFormFault, isDigest } from '#domain/exact-forms.ts'
import { parseStrictObject } from '#domain/strict-json.ts'
import { CrosslineError } from '#errors.ts'
import type { EcPublicKey } from '#schema/directory.ts'

/** Largest document that is read, as served. */
export const maxDocumentBytes = 4 * 1024 * 1024
const maxSignatures = 64

/** What a document claims to be: one type's signature never stands for another's. */
export type DocumentType = 'crossline-root+jws' | 'crossline-directory+jws'

/** A private P-256 key and its thumbprint. */
export interface DocumentSigner {
  kid: string
  privateKey: KeyObject | CryptoKey
}

/** Signs a payload with each key, in their order. The result is the document as served. */
export async function signGeneralJws(
  payload: Uint8Array,
  typ: DocumentType,
  signers: readonly DocumentSigner[],
): Promise<Buffer> {
  const sign = new GeneralSign(payload)
  for (const { kid, privateKey } of signers) sign.addSignature(privateKey).setProtectedHeader({ alg: 'ES256', typ, kid })
  return Buffer.from(JSON.stringify(await sign.sign()))
}

/** Whose signatures count, and how many of them it takes. */
export interface SignatureRule {
  typ: DocumentType
  keys: readonly EcPublicKey[]
  threshold: number
}

interface Signature {
  protected: string
  signature: string
  kid: string
}

/**
 * The payload of a document that at least `threshold` different keys of the rule signed. Signatures of other keys are ignored; one that
 * is malformed, or that names a key of the rule and does not verify, condemns the document. Throws `bad_directory`.
 */
export async function verifyGeneralJws(bytes: Uint8Array, { typ, keys, threshold }: SignatureRule): Promise<Buffer> {
  const { payload, signatures } = parseDocument(bytes, typ)
  const keysByKid = new Map(keys.map((key) => [thumbprintOf(key), key]))
  const signers = new Set<string>()
  for (const signature of signatures) {
    const key = keysByKid.get(signature.kid)
    if (!key) continue
    await verifySignature(payload, signature, key)
    signers.add(signature.kid)
  }
  if (threshold < 1 || signers.size < threshold) throw bad('Too few officers signed the document')
  return Buffer.from(payload, 'base64url')
}

function parseDocument(bytes: Uint8Array, typ: DocumentType): { payload: string; signatures: Signature[] } {
  if (bytes.length > maxDocumentBytes) throw bad('The document is larger than 4 MiB')
  const document = parseObject(bytes, 'The document is not strict JSON')
  requireForm(document, { payload: isBase64url, signatures: Array.isArray })
  const signatures = document.signatures as unknown[]
  if (signatures.length > maxSignatures) throw bad('The document has too many signatures')
  return { payload: document.payload as string, signatures: signatures.map((signature) => parseSignature(signature, typ)) }
}

// No unprotected header, no critical extension, no other algorithm: exactly what this network signs.
function parseSignature(value: unknown, typ: DocumentType): Signature {
  requireForm(value, { protected: isBase64url, signature: (text) => isBase64url(text) && bytesOf(text as string).length === 64 })
  const { protected: encoded, signature } = value as { protected: string; signature: string }
  const header = parseObject(bytesOf(encoded), 'A signature header is not strict JSON')
  requireForm(header, { alg: (alg) => alg === 'ES256', typ: (own) => own === typ, kid: isDigest })
  return { protected: encoded, signature, kid: header.kid as string }
}

async function verifySignature(payload: string, { protected: header, signature }: Signature, key: EcPublicKey): Promise<void> {
  try {
    await flattenedVerify({ payload, protected: header, signature }, { ...key }, { algorithms: ['ES256'] })
  } catch {
    throw bad('A signature of the document does not verify')
  }
}

const bytesOf = (text: string): Buffer => Buffer.from(text, 'base64url')

/** Text that decodes and encodes to itself: no padding, white space, other alphabet or spare bits. */
const isBase64url: FormCheck = (value) =>
  typeof value === 'string' && value !== '' && bytesOf(value).toString('base64url') === value

function parseObject(bytes: Uint8Array, detail: string): Record<string, unknown> {
  try {
    return parseStrictObject(bytes)
  } catch (cause) {
    throw new CrosslineError('bad_directory', { detail, cause })
  }
}

function requireForm(value: unknown, required: Record<string, FormCheck>): void {
  const fault = findFormFault(value, { required })
  if (fault) throw bad(`A part of the document has the wrong form: ${fault}`)
}

function bad(detail: string): CrosslineError {
  return new CrosslineError('bad_directory', { detail })
}
