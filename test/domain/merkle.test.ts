import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { inclusionPath, leafHash, merkleRoot, nodeHash, rootFromInclusion, verifyInclusion } from '#domain/merkle.ts'

const refused = { code: 'bad_evidence' }
const vectors = process.env.CROSSLINE_VECTORS
const sha256 = (...parts: Uint8Array[]) => parts.reduce((sum, part) => sum.update(part), createHash('sha256')).digest()
const leavesOf = (size: number) => Array.from({ length: size }, (_, n) => leafHash(Buffer.from(`line ${n}`)))

// The definition of RFC 9162 §2.1.1, word for word.
function rootByDefinition(leaves: Buffer[]): Buffer {
  if (leaves.length === 0) return sha256()
  if (leaves.length === 1) return leaves[0] as Buffer
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  return sha256(Buffer.of(1), rootByDefinition(leaves.slice(0, split)), rootByDefinition(leaves.slice(split)))
}

t.test('hashes leaves and nodes with their prefixes, at any length', async (t) => {
  for (const length of [0, 1, 2_048, 65_535, 65_536, 65_537, 200_000]) {
    const bytes = Buffer.alloc(length, 'x')
    t.same(leafHash(bytes), sha256(Buffer.of(0), bytes), `${length} bytes`)
  }
  t.same(leafHash(Buffer.of(7)), sha256(Buffer.of(0, 7)), 'nothing is left from a longer one before')
  const [left, right] = leavesOf(2) as [Buffer, Buffer]
  t.same(nodeHash(left, right), sha256(Buffer.of(1), left, right))
})

t.test('gives the root of the definition for every size', async (t) => {
  for (let size = 0; size <= 70; size++) t.same(merkleRoot(leavesOf(size)), rootByDefinition(leavesOf(size)), `${size} leaves`)
  t.same(merkleRoot(leavesOf(1_000)), rootByDefinition(leavesOf(1_000)))
})

t.test('verifies the path of every leaf, and of no other index, size, leaf or root', async (t) => {
  for (const size of [1, 2, 3, 4, 5, 7, 8, 9, 31, 33]) {
    const leaves = leavesOf(size)
    const root = merkleRoot(leaves)
    for (let index = 0; index < size; index++) {
      const proven = { leaf: leaves[index] as Buffer, index, size, path: inclusionPath(leaves, index), root }
      t.doesNotThrow(() => verifyInclusion(proven))
      for (let other = 0; other < size; other++)
        if (other !== index) t.throws(() => verifyInclusion({ ...proven, index: other }), refused)
      t.throws(() => verifyInclusion({ ...proven, leaf: leafHash(Buffer.from('another')) }), refused)
      t.throws(() => verifyInclusion({ ...proven, root: sha256() }), refused)
      t.throws(() => verifyInclusion({ ...proven, path: [...proven.path, root] }), refused, 'too long')
      if (size > 1) t.throws(() => verifyInclusion({ ...proven, path: proven.path.slice(1) }), refused, 'too short')
    }
  }
})

t.test('refuses indexes and sizes that are no place in a tree', async (t) => {
  const leaf = leafHash(Buffer.of(1))
  for (const [index, size] of [
    [0, 0],
    [1, 1],
    [-1, 1],
    [0.5, 1],
    [0, 1.5],
    [0, 2 ** 53],
    [2 ** 53, 2 ** 54],
    [Number.NaN, 1],
    [0, Infinity],
  ]) {
    t.throws(
      () => rootFromInclusion({ leaf, index: index as number, size: size as number, path: [] }),
      refused,
      `${index} of ${size}`,
    )
  }
  const path = Array.from({ length: 53 }, () => leaf)
  t.throws(() => rootFromInclusion({ leaf, index: 0, size: 2 ** 53, path }), refused, 'not even with a path as long as it takes')
  t.throws(() => rootFromInclusion({ leaf: leaf.subarray(1), index: 0, size: 1, path: [] }), refused)
  t.throws(() => rootFromInclusion({ leaf, index: 0, size: 2, path: [leaf.subarray(1)] }), refused)
  for (const index of [-1, 3, 0.5]) t.throws(() => inclusionPath(leavesOf(3), index), refused)
})

t.test('walks a path in a tree larger than 32 bits can count', async (t) => {
  const leaf = leafHash(Buffer.of(1))
  const path = Array.from({ length: 40 }, (_, n) => leafHash(Buffer.of(n)))
  const expected = path.reduce((node, sibling) => nodeHash(sibling, node), leaf)
  t.same(rootFromInclusion({ leaf, index: 2 ** 40 - 1, size: 2 ** 40, path }), expected)
})

t.test('agrees with the transparency-dev vectors', { skip: vectors ? false : 'CROSSLINE_VECTORS is not set' }, async (t) => {
  const files = globSync('**/*.json', { cwd: join(vectors as string, 'transparency-dev-merkle/inclusion') })
  t.equal(files.length, 98)
  for (const file of files) {
    const vector = JSON.parse(readFileSync(join(vectors as string, 'transparency-dev-merkle/inclusion', file), 'utf8'))
    const bytes = (text: string | null) => Buffer.from(text ?? '', 'base64')
    const inclusion = {
      leaf: bytes(vector.leafHash),
      index: vector.leafIdx,
      size: vector.treeSize,
      path: (vector.proof ?? []).map(bytes),
      root: bytes(vector.root),
    }
    if (vector.wantErr) t.throws(() => verifyInclusion(inclusion), refused, file)
    else t.doesNotThrow(() => verifyInclusion(inclusion), file)
  }
})
