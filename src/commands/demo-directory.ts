// The directory of the demo: the one of the last start if it still fits, so that its version tells of a change; else the next one.
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fingerprintOf } from '#crypto/certificates.ts'
import { digest } from '#crypto/digests.ts'
import { verifyDirectory, verifyFirstRoot } from '#crypto/directory-documents.ts'
import type { Directory } from '#schema/directory.ts'
import { developmentMembers } from './certs-dev.ts'
import { authorityFiles, memberFiles, networkFiles } from './dev-files.ts'
import { authorDevNetwork, describeDemoNetwork } from './office-dev-network.ts'

export interface PublishedDirectory {
  version: number
  isNew: boolean
}

const renewBeforeMs = 15 * 24 * 3_600_000

/** The directory in the folder if it still fits, else the next one. */
export async function publishDirectory(certs: string, urls: Record<string, string>): Promise<PublishedDirectory> {
  const held = await findDirectory(certs)
  if (held && (await isFitting(held, certs, urls))) return { version: held.version, isNew: false }
  const { directory } = await authorDevNetwork({ folder: certs, ...describeDemoNetwork(urls) })
  return { version: directory.version, isNew: true }
}

async function findDirectory(certs: string): Promise<Directory | undefined> {
  const files = networkFiles(certs)
  try {
    const rootBytes = await readFile(files.root)
    const root = await verifyFirstRoot(rootBytes, [digest(rootBytes)])
    const authority = await readFile(authorityFiles(certs).certificate, 'utf8')
    const isTrusted = root.document.tlsAuthorities.includes(authority) && isLasting(root.document.expires)
    return isTrusted ? (await verifyDirectory(await readFile(files.directory), root.document)).document : undefined
  } catch {
    return undefined
  }
}

function isLasting(expires: string): boolean {
  return Date.parse(expires) - Date.now() > renewBeforeMs
}

async function isFitting(held: Directory, certs: string, urls: Record<string, string>): Promise<boolean> {
  if (!isLasting(held.expires) || held.members.length !== developmentMembers.length) return false
  for (const { id } of developmentMembers) {
    const member = held.members.find((each) => each.id === id)
    const certificate = new X509Certificate(await readFile(memberFiles(certs, id).node.certificate))
    if (member?.certificates[0]?.fingerprint !== fingerprintOf(certificate) || member.endpoints[0]?.url !== urls[id]) return false
  }
  return true
}
