// `crossline evidence`: the proof of one message, and its check without database or network: anybody can do it with the directory's keys.
import { readFile } from 'node:fs/promises'
import type { Environment } from '#config.ts'
import { digest } from '#crypto/digests.ts'
import { verifyDirectory, verifyFirstRoot } from '#crypto/directory-documents.ts'
import { buildEvidence, verifyEvidence } from '#crypto/evidence.ts'
import { isUuidV7 } from '#domain/exact-forms.ts'
import { holdDirectory } from '#domain/held-directory.ts'
import { inclusionPath } from '#domain/merkle.ts'
import { parseStrictJson } from '#domain/strict-json.ts'
import { CrosslineError } from '#errors.ts'
import { openLine, openSubjectKey } from '#steps/subject-keys.ts'
import { findMessageProof } from '#storage/message-store.ts'
import { openServiceDatabase } from './open-database.ts'

/** Evidence of a message that this node sent or took, as JSON. Throws `not_found`, also for one that is not sent or was erased. */
export async function printEvidence(env: Environment, messageId: string): Promise<string> {
  if (!isUuidV7(messageId)) throw new CrosslineError('invalid_config', { detail: 'A message id is a UUIDv7 in lower case.' })
  const { db, keys, close } = await openServiceDatabase(env)
  try {
    const found = await findMessageProof(db, messageId)
    if (!found?.sealed || !found.wrapped)
      throw new CrosslineError('not_found', { detail: 'No such message is here, or it was erased.' })
    if (found.index === null || !found.leaves || found.size === null || !found.proof)
      throw new CrosslineError('not_found', { detail: 'The message waits to be sent: there is no evidence yet.' })
    const line = openLine(openSubjectKey({ keys }, found.item_id, found.wrapped), found.id, found.sealed)
    const path = inclusionPath(splitLeaves(found.leaves), found.index)
    return JSON.stringify(
      buildEvidence({
        message: line.toString(),
        index: found.index,
        size: found.size,
        path,
        proof: found.proof,
        receipt: found.receipt,
      }),
      null,
      2,
    )
  } finally {
    await close()
  }
}

function splitLeaves(leaves: Buffer): Buffer[] {
  return Array.from({ length: leaves.length / 32 }, (_, place) => leaves.subarray(place * 32, place * 32 + 32))
}

/** Checks evidence from a file against a directory and its root. Says what it shows; throws `bad_evidence`. */
export async function checkEvidence(file: string, { directory, root }: { directory?: string; root?: string }): Promise<string> {
  if (directory === undefined || root === undefined)
    throw new CrosslineError('invalid_config', { detail: '--check needs --directory and --root.' })
  const rootBytes = await readWhole(root)
  // Whose root it is, is for the person who gives it: its fingerprint is printed to be compared.
  const trusted = await verifyFirstRoot(rootBytes, [digest(rootBytes)])
  const verified = await verifyDirectory(await readWhole(directory), trusted.document)
  const held = holdDirectory({
    document: verified.document,
    version: verified.number,
    hash: verified.hash,
    bytes: verified.bytes,
    root: trusted.document,
  })
  const shown = await verifyEvidence(parseStrictJson(await readWhole(file)), (member, kid) => held.findSigningKey(member, kid))
  const receipt = shown.receipt
    ? `receipt  signed by ${shown.message.to} at ${shown.receipt.at.toISOString()}: ${shown.receipt.status}`
    : 'receipt  none yet'
  return [
    `valid    ${shown.message.kind} ${shown.message.id} about item ${shown.message.item}`,
    `author   ${shown.message.author}, signed at ${shown.signedAt.toISOString()} (its claim), to ${shown.message.to}`,
    `place    ${shown.index + 1} of ${shown.size} under root ${shown.root}`,
    receipt,
    `under    root ${trusted.hash}, directory ${verified.number}`,
  ].join('\n')
}

async function readWhole(path: string): Promise<Buffer> {
  return readFile(path).catch((cause: unknown) => {
    throw new CrosslineError('broken_file', { detail: 'A file that was named can not be read.', cause })
  })
}
