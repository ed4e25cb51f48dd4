// From bytes that anybody may have served to a root or directory that may be believed. Who served them never matters: the pinned
// fingerprint, the thresholds and the roles decide. Whether it may follow what is held is domain/directory-rules.ts.
import { parseDirectory, parseRoot } from '#domain/directory-contents.ts'
import type { VerifiedDocument } from '#domain/directory-rules.ts'
import { parseStrictJson } from '#domain/strict-json.ts'
import { CrosslineError } from '#errors.ts'
import type { Directory, Root } from '#schema/directory.ts'
import { digest } from './digests.ts'
import { type DocumentType, verifyGeneralJws } from './directory-signature.ts'

/** The first root: one of the pinned fingerprints, and signed by its own threshold. Throws `bad_directory`. */
export async function verifyFirstRoot(bytes: Uint8Array, pins: readonly string[]): Promise<VerifiedDocument<Root>> {
  if (!pins.includes(digest(bytes))) {
    throw new CrosslineError('bad_directory', { detail: 'The root is not the one whose fingerprint this node trusts' })
  }
  return verifyOwnThreshold(bytes)
}

/** A root after a held one: the threshold of the held root's keys and of its own. Throws `bad_directory`. */
export async function verifyNextRoot(bytes: Uint8Array, held: Root): Promise<VerifiedDocument<Root>> {
  await verifyGeneralJws(bytes, { typ: 'crossline-root+jws', ...held.roles.root })
  return verifyOwnThreshold(bytes)
}

/** A directory, signed by the threshold of the root's directory role. Throws `bad_directory`. */
export async function verifyDirectory(bytes: Uint8Array, root: Root): Promise<VerifiedDocument<Directory>> {
  const payload = await verifyGeneralJws(bytes, { typ: 'crossline-directory+jws', ...root.roles.directory })
  const document = parsePayload(payload, parseDirectory)
  return { document, number: document.version, ...identify(bytes, payload) }
}

async function verifyOwnThreshold(bytes: Uint8Array): Promise<VerifiedDocument<Root>> {
  // Its keys stand inside: they are read first and count only because the very same bytes are then verified under them.
  const root = parsePayload(peekPayload(bytes), parseRoot)
  const typ: DocumentType = 'crossline-root+jws'
  const payload = await verifyGeneralJws(bytes, { typ, ...root.roles.root })
  const document = parsePayload(payload, parseRoot)
  return { document, number: document.number, ...identify(bytes, payload) }
}

function peekPayload(bytes: Uint8Array): Buffer {
  const outer = parsePayload(bytes, (value) => value as { payload?: unknown } | null)
  return Buffer.from(typeof outer?.payload === 'string' ? outer.payload : '', 'base64url')
}

function parsePayload<T>(payload: Uint8Array, parse: (value: unknown) => T): T {
  try {
    return parse(parseStrictJson(payload))
  } catch (error) {
    if (error instanceof CrosslineError && error.code === 'bad_directory') throw error
    throw new CrosslineError('bad_directory', { detail: 'The document is not strict JSON', cause: error })
  }
}

function identify(bytes: Uint8Array, payload: Uint8Array) {
  return { hash: digest(bytes), payloadHash: digest(payload), bytes: Buffer.from(bytes) }
}
