import fc from 'fast-check'
import t from 'tap'
import { growEdge, type RightEdge, rootOfEdge } from '#domain/right-edge.ts'
import { edgeNodes } from '#domain/tiles.ts'
import { hugeRoot, hugeTree, oddLeaf } from './huge-tree.ts'
import { entriesOf, leafOf, nodeOf, treeHash } from './rfc-6962.ts'

const refused = { code: 'bad_evidence' }
const empty: RightEdge = { size: 0, hashes: [] }
const entries = entriesOf(2_100)
const leaves = entries.map(leafOf)

t.test('has the root of the definition at every size', async (t) => {
  let edge = empty
  t.same(rootOfEdge(edge), treeHash([]))
  for (let size = 1; size <= 130; size++) {
    edge = growEdge(edge, leaves.slice(size - 1, size))
    t.same(rootOfEdge(edge), treeHash(entries.slice(0, size)), `${size} leaves`)
  }
})

t.test('keeps the full subtrees, largest first', async (t) => {
  const { size, hashes } = growEdge(empty, leaves.slice(0, 7))
  t.equal(size, 7)
  t.same(hashes, [treeHash(entries.slice(0, 4)), treeHash(entries.slice(4, 6)), leafOf(entries[6]!)])
})

t.test('grows the same in any steps, and leaves what it was given as it is', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 7 }), (steps) => {
      let edge = empty
      for (const step of steps) {
        const before = { size: edge.size, hashes: [...edge.hashes] }
        const grown = growEdge(edge, leaves.slice(edge.size, edge.size + step))
        t.same(edge, before)
        edge = grown
      }
      t.same(edge, growEdge(empty, leaves.slice(0, edge.size)))
      t.same(rootOfEdge(edge), treeHash(entries.slice(0, edge.size)))
    }),
    { numRuns: 40 },
  )
})

t.test('grows trees as large as they can be', async (t) => {
  for (const size of [2 ** 31 - 1, 2 ** 32, 2 ** 52 - 1, 2 ** 52, Number.MAX_SAFE_INTEGER - 1]) {
    const read = hugeTree(size)
    const grown = growEdge({ size, hashes: edgeNodes(size).map(read) }, [oddLeaf])
    t.same(grown, { size: size + 1, hashes: edgeNodes(size + 1).map(read) }, `${size} leaves and one`)
    t.same(rootOfEdge(grown), hugeRoot(size + 1, read))
  }
})

t.test('refuses an edge that no tree has', async (t) => {
  const two = [nodeOf(leaves[0]!, leaves[1]!)]
  const strange: [string, RightEdge][] = [
    ['a hash too many', { size: 0, hashes: two }],
    ['a hash too few', { size: 3, hashes: two }],
    ['a short hash', { size: 1, hashes: [Buffer.alloc(31)] }],
    ['a negative size', { size: -1, hashes: [] }],
    ['half a leaf', { size: 0.5, hashes: [] }],
    ['too large a size', { size: 2 ** 53, hashes: two }],
    ['no size', { size: Number.NaN, hashes: [] }],
  ]
  for (const [name, edge] of strange) {
    t.throws(() => growEdge(edge, []), refused, name)
    t.throws(() => rootOfEdge(edge), refused, name)
  }
  t.throws(() => growEdge(empty, [Buffer.alloc(33)]), refused, 'a leaf that is no hash')
  const full = { size: Number.MAX_SAFE_INTEGER, hashes: edgeNodes(Number.MAX_SAFE_INTEGER).map(() => oddLeaf) }
  t.throws(() => growEdge(full, [oddLeaf]), refused, 'one leaf more than can be counted')
})
