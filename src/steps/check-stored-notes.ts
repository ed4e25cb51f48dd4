// The signed notes that the tables keep: every checkpoint of ours against the tree, what was kept of peers' logs, and the evidence.
import { verifySignature } from '#crypto/checkpoint-note.ts'
import { parseCheckpoint } from '#domain/checkpoint.ts'
import { indexChunkRoot } from '#domain/index-tree.ts'
import type { IndexRoot } from '#domain/item-index.ts'
import { merkleRoot } from '#domain/merkle.ts'
import { parseNote, type VerifierKey } from '#domain/signed-note.ts'
import type { Fault, Faults } from '#domain/verdict.ts'
import { isFault, type VerifiedTree } from '#domain/verified-tiles.ts'
import { CrosslineError } from '#errors.ts'
import { readCheckpointsPage, readEvidence, readIndexes, readPeerLogs } from '#storage/fsck-store.ts'
import { findIndexChunk } from '#storage/index-store.ts'
import type { Db } from '#storage/report-store.ts'

/** What one shard's checkpoints are compared with. */
export interface Shard {
  year: number
  origin: string
  tree: VerifiedTree
  keys: readonly VerifierKey[]
  faults: Faults
}

const page = 500

/** Walks the checkpoints beside the entries: `upTo` checks those up to a size, whose leaves are at hand then. */
export function walkCheckpoints(db: Db, shard: Shard): { upTo(size: number): Promise<void>; readonly count: number } {
  let waiting: Awaited<ReturnType<typeof readCheckpointsPage>> = []
  let last = 0
  let isOver = false
  let count = 0
  return {
    get count() {
      return count
    },
    upTo: async (size) => {
      for (;;) {
        if (waiting.length === 0 && !isOver)
          waiting = await readCheckpointsPage(db, { year: shard.year, after: last, limit: page })
        const next = waiting[0]
        if (!next) isOver = true
        if (!next || next.size > size) return
        checkStored(next, shard)
        last = next.size
        count++
        waiting.shift()
      }
    },
  }
}

function checkStored(row: { size: number; root: Buffer; note: string }, { origin, tree, keys, faults }: Shard): void {
  const add = (fault: Omit<Fault, 'log'>) => faults.add({ ...fault, log: origin })
  if (!isSigned(row, { origin, keys }))
    add({
      stage: 'signature',
      kind: 'tampered',
      says: 'A checkpoint that is stored is not signed by the key of this log, or says something else than its row.',
    })
  const root = tree.rootAt(row.size)
  if (isFault(root))
    add({
      stage: 'root',
      kind: root.kind === 'missing' ? 'incomplete' : 'tampered',
      says: 'The tiles do not lead to a checkpoint that is stored.',
    })
  else if (!root.equals(row.root))
    add({ stage: 'consistency', kind: 'tampered', says: 'The log is not the one that an earlier checkpoint of it signed.' })
}

function isSigned(
  row: { size: number; root: Buffer; note: string },
  { origin, keys }: { origin: string; keys: readonly VerifierKey[] },
): boolean {
  try {
    const note = parseNote(row.note)
    const { size, root, origin: signed } = parseCheckpoint(note.text)
    return (
      signed === origin && size === row.size && root.equals(row.root) && keys.some((key) => verifySignature(note, key) === true)
    )
  } catch (error) {
    if (error instanceof CrosslineError) return false
    throw error
  }
}

/** What is kept of peers: each last checkpoint still verifies; evidence against our own log is a fault, against a peer only counted. */
export async function checkPeers(
  db: Db,
  { faults, origins, keysOf }: { faults: Faults; origins: ReadonlySet<string>; keysOf: (origin: string) => VerifierKey[] },
): Promise<{ peers: number; evidence: number }> {
  const peers = await readPeerLogs(db)
  for (const peer of peers) {
    const keys = keysOf(peer.origin)
    // A peer that left has no key any more: nothing is said of it.
    if (keys.length > 0 && !isSigned(peer, { origin: peer.origin, keys }))
      faults.add({
        stage: 'signature',
        kind: 'tampered',
        log: peer.origin,
        says: 'What was kept of a peer’s log is not what that peer signed.',
      })
  }
  const evidence = await readEvidence(db)
  for (const { origin } of evidence)
    if (origins.has(origin))
      faults.add({
        stage: 'consistency',
        kind: 'tampered',
        log: origin,
        says: 'Two notes of this log that contradict each other are kept as evidence.',
      })
  return { peers: peers.length, evidence: evidence.length }
}

/** The indexes that proofs of completeness are made from: each is the tree whose root its entry states. */
export async function checkIndexes(
  db: Db,
  { faults, roots }: { faults: Faults; roots: ReadonlyMap<number, IndexRoot> },
): Promise<void> {
  for (const { id, entryId, size, root } of await readIndexes(db)) {
    const stated = roots.get(entryId)
    // One that is not sealed yet has been looked at with what waits.
    if (!stated) continue
    const chunkRoots: Buffer[] = []
    for (let n = 0, chunk = await findIndexChunk(db, id, n); chunk; chunk = await findIndexChunk(db, id, ++n))
      chunkRoots.push(indexChunkRoot(chunk))
    const isSame =
      merkleRoot(chunkRoots).equals(root) &&
      (stated.root === undefined || (stated.root === root.toString('base64url') && stated.size === size))
    if (!isSame)
      faults.add({ stage: 'chain', kind: 'tampered', says: 'An index of items is not the one that its entry in the log states.' })
  }
}
