// The tree of each year as the tables hold it beside its leaves: that every entry stands in one or waits, that nothing stands outside, and
// that the sealer would go on from what was signed.
import { rootOfEdge } from '#domain/right-edge.ts'
import type { Faults } from '#domain/verdict.ts'
import { CrosslineError } from '#errors.ts'
import { countOutsideTree, countStrayEntries, type StoredShard } from '#storage/fsck-store.ts'
import type { Db } from '#storage/report-store.ts'
import { splitHashes } from './shard.ts'

/** Every entry stands in a tree or in the queue: one that the sealer never gets to see would be in no proof. */
export async function checkStrays(db: Db, faults: Faults, limit: number): Promise<void> {
  let strays = 0
  for (let afterId = -1; ; ) {
    const page = await countStrayEntries(db, { afterId, limit })
    if (!page) break
    strays += page.strays
    afterId = page.lastId
  }
  if (strays > 0)
    faults.add({
      stage: 'inclusion',
      kind: 'tampered',
      says: `Entries that are in no tree and do not wait for one: ${strays}. An entry was taken out of the queue before it was sealed.`,
    })
}

/** A leaf that no tree has would hide an entry that is in none; a place that no leaf has would show an entry where it is not. */
export async function checkOutside(db: Db, faults: Faults): Promise<void> {
  if ((await countOutsideTree(db)) > 0)
    faults.add({
      stage: 'inclusion',
      kind: 'tampered',
      says: 'Leaves, or places that questions find, stand outside of the tree of their year.',
    })
}

/** An edge that leads to the root is the one: another would need two inputs of one hash. */
export function checkEdge({ origin, size, root, edge }: StoredShard, faults: Faults): void {
  if (isEdgeOf({ size, root, edge })) return
  faults.add({
    stage: 'root',
    kind: 'tampered',
    log: origin,
    says: 'What the sealer goes on from, the right edge of the tree, does not lead to its root.',
  })
}

function isEdgeOf({ size, root, edge }: Pick<StoredShard, 'size' | 'root' | 'edge'>): boolean {
  try {
    return rootOfEdge({ size, hashes: splitHashes(edge) }).equals(root)
  } catch (error) {
    if (error instanceof CrosslineError && error.code === 'bad_evidence') return false
    throw error
  }
}
