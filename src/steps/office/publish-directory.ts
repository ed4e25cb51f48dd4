// The office's hand: signs a root or a directory after checking what a node would check, so that nothing goes out that nodes refuse.
import { digest } from '#crypto/digests.ts'
import { type DocumentSigner, signGeneralJws } from '#crypto/directory-signature.ts'
import { parseDirectory, parseRoot } from '#domain/directory-contents.ts'
import type { Directory, Root } from '#schema/directory.ts'

/** A document as served. */
export interface AuthoredDocument {
  bytes: Buffer
  /** SHA-256 of the bytes: a root's fingerprint, a directory's hash. */
  hash: string
}

/** Signs a root. A next root needs officers enough for the root before and for itself. Throws `bad_directory`. */
export async function authorRoot({
  officerKeys,
  root,
}: {
  officerKeys: readonly DocumentSigner[]
  root: Root
}): Promise<AuthoredDocument> {
  return author(parseRoot(root), 'crossline-root+jws', officerKeys)
}

/** Signs a directory. Version and `previous` are the caller's. Throws `bad_directory`. */
export async function authorDirectory({
  officerKeys,
  document,
}: {
  officerKeys: readonly DocumentSigner[]
  document: Directory
}): Promise<AuthoredDocument> {
  return author(parseDirectory(document), 'crossline-directory+jws', officerKeys)
}

async function author(
  document: Root | Directory,
  typ: Parameters<typeof signGeneralJws>[1],
  signers: readonly DocumentSigner[],
): Promise<AuthoredDocument> {
  const bytes = await signGeneralJws(Buffer.from(JSON.stringify(document)), typ, signers)
  return { bytes, hash: digest(bytes) }
}
