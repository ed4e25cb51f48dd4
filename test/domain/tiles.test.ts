import fc from 'fast-check'
import t from 'tap'
import { verifyConsistency } from '#domain/consistency.ts'
import { verifyInclusion } from '#domain/merkle.ts'
import {
  consistencyNodes,
  consistencyProof,
  edgeNodes,
  edgeTiles,
  inclusionNodes,
  inclusionProof,
  newTiles,
  nodeFromTiles,
  parseTilePath,
  type Tile,
  type TilePlace,
  type TreeNode,
  tilePath,
  tilesFor,
} from '#domain/tiles.ts'
import { hugeRoot, hugeTree, oddLeaf } from './huge-tree.ts'
import { auditPath, consistencyPath, entriesOf, leafOf, treeHash } from './rfc-6962.ts'

const refused = { code: 'bad_evidence' }
const largest = Number.MAX_SAFE_INTEGER
const entries = entriesOf(3_000)
const leaves = entries.map(leafOf)
const aSize = fc.integer({ min: 1, max: entries.length })
const aHugeSize = fc
  .oneof(
    fc.maxSafeInteger(),
    fc.integer({ min: 0, max: 52 }).map((n) => 2 ** n),
  )
  .map((n) => Math.max(1, Math.abs(n)))
const place = ({ level, index }: TilePlace) => `${level}/${index}`

/** Every tile of a tree: level l has floor(size / 256^l) hashes, in tiles of 256 and a rest. */
function allTiles(size: number): Tile[] {
  const tiles: Tile[] = []
  for (let level = 0; 256 ** level <= size; level++) {
    const hashes = Math.floor(size / 256 ** level)
    for (let at = 0; at < hashes; at += 256) tiles.push({ level, index: at / 256, width: Math.min(256, hashes - at) })
  }
  return tiles
}

/** Tiles as a store keeps them. */
function newStore() {
  const tiles = new Map<string, Buffer>()
  const hashesOf = (tile: TilePlace) => tiles.get(place(tile)) ?? Buffer.alloc(0)
  return { tiles, hashesOf, read: (node: TreeNode) => nodeFromTiles(node, hashesOf) }
}

/** Lets a tree grow in steps; only what `edgeTiles` names may be read. */
function growTo(size: number, steps: Iterable<number>) {
  const store = newStore()
  let before = 0
  for (const step of [...steps, size]) {
    const added = leaves.slice(before, Math.min(size, before + step))
    const allowed = new Set(edgeTiles(before).map(place))
    const read = (tile: TilePlace) => (allowed.has(place(tile)) ? store.hashesOf(tile) : Buffer.alloc(0))
    for (const { hashes, from, ...tile } of newTiles(before, added, read)) {
      const held = store.hashesOf(tile)
      if (held.length !== from * 32) throw new Error('a tile does not grow where it ended')
      store.tiles.set(place(tile), Buffer.concat([held, hashes]))
    }
    before += added.length
  }
  return store
}

// MTH(D[(n * 256 + i) * 256^l : (n * 256 + i + 1) * 256^l]) for each i of the width, as C2SP tlog-tiles defines a tile.
function tileByDefinition({ level, index, width }: Tile): Buffer {
  const span = 256 ** level
  const hashAt = (i: number) => treeHash(entries.slice((index * 256 + i) * span, (index * 256 + i + 1) * span))
  return Buffer.concat(Array.from({ length: width }, (_, i) => hashAt(i)))
}

const whole = growTo(entries.length, [])

t.test('writes the paths of the specification', async (t) => {
  const paths: [Tile, string][] = [
    [{ level: 0, index: 0, width: 256 }, 'tile/0/000'],
    [{ level: 0, index: 7, width: 1 }, 'tile/0/007.p/1'],
    [{ level: 1, index: 999, width: 255 }, 'tile/1/999.p/255'],
    [{ level: 0, index: 1_000, width: 256 }, 'tile/0/x001/000'],
    [{ level: 0, index: 1_234, width: 12 }, 'tile/0/x001/234.p/12'],
    [{ level: 2, index: 1_234_067, width: 256 }, 'tile/2/x001/x234/067'],
    [{ level: 0, index: 2 ** 45 - 1, width: 255 }, 'tile/0/x035/x184/x372/x088/831.p/255'],
    [{ level: 6, index: 0, width: 31 }, 'tile/6/000.p/31'],
  ]
  for (const [tile, path] of paths) {
    t.equal(tilePath(tile), path)
    t.same(parseTilePath(path), tile)
  }
})

t.test('reads every path that it writes', async (t) => {
  const aNode = fc.record({ level: fc.integer({ min: 0, max: 6 }), at: fc.maxSafeInteger().map(Math.abs) })
  const real = aNode
    .map(({ level, at }) => ({ level, hash: Math.floor(at / 256 ** level) }))
    .filter(({ hash }) => hash > 0)
    .map(({ level, hash }) => ({ level, index: Math.floor((hash - 1) / 256), width: ((hash - 1) % 256) + 1 }))
  fc.assert(
    fc.property(real, (tile) => {
      t.same(parseTilePath(tilePath(tile)), tile)
    }),
  )
})

t.test('knows no other path', async (t) => {
  const strange = [
    ...['', 'tile', 'tile/0', 'tile/0/', 'tile/0/0', 'tile/0/00', 'tile/0/0000', 'tile/00/000', 'tile/7/000', 'tile/63/000'],
    ...[
      'tile/-1/000',
      'tile/0/x000/001',
      'tile/0/x000/x001/234',
      'tile/0/001/234',
      'tile/0/x001/x234',
      'tile/0/x001',
      'tile/0/X001/234',
    ],
    ...[
      'tile/0/000.p/0',
      'tile/0/000.p/256',
      'tile/0/000.p/01',
      'tile/0/000.p/',
      'tile/0/000.p/1000',
      'tile/0/000.p/-1',
      'tile/0/000.p',
    ],
    ...[
      '/tile/0/000',
      'tile/0/000/',
      'tile/0/000\n',
      'tile/0/000.p/1\n',
      'tile/entries/000',
      'tile/0/../000',
      'tile//000',
      'tile/0/٠٠٠',
    ],
    ...[
      'tile/0/x035/x184/x372/x088/832',
      'tile/6/032',
      'tile/1/x137/x438/x953/472',
      'tile/0/x999/x999/x999/x999/x999/999',
      'tile/1e0/000',
    ],
  ]
  for (const path of strange) t.throws(() => parseTilePath(path), { code: 'not_found' }, JSON.stringify(path))
})

t.test('makes the tiles of the definition, full and partial, however the tree grew', async (t) => {
  for (const size of [1, 2, 255, 256, 257, 511, 512, 1_000, 2_303, 3_000]) {
    const tiles = allTiles(size)
    const { tiles: stored } = growTo(size, [1, 1, 254, 3, 600])
    t.same([...stored.keys()].sort(), tiles.map(place).sort(), `${size} leaves: these tiles and no others`)
    for (const tile of tiles) t.same(stored.get(place(tile)), tileByDefinition(tile), `${size} leaves: ${tilePath(tile)}`)
  }
})

t.test('gives the leaves back when the tiles of level 0 are put together', async (t) => {
  const bytes = allTiles(entries.length)
    .filter(({ level }) => level === 0)
    .map((tile) => whole.hashesOf(tile))
  t.ok(Buffer.concat(bytes).equals(Buffer.concat(leaves)))
})

t.test('makes the same tiles in any steps', async (t) => {
  fc.assert(
    fc.property(aSize, fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 8 }), (size, steps) => {
      const { tiles } = growTo(size, steps)
      for (const tile of allTiles(size))
        if (!tiles.get(place(tile))?.equals(whole.hashesOf(tile).subarray(0, tile.width * 32))) throw new Error(tilePath(tile))
    }),
    { numRuns: 60 },
  )
  t.pass()
})

t.test('grows a tree of the third tile level', async (t) => {
  // 65,536 leaves fill one tile of level 1; the entries are one byte long to keep this quick.
  const many = Array.from({ length: 65_537 }, (_, n) => leafOf(Buffer.from(`${n}`)))
  const store = newStore()
  const put = (before: number, added: Buffer[]) => {
    for (const { hashes, from: _, ...tile } of newTiles(before, added, store.hashesOf))
      store.tiles.set(place(tile), Buffer.concat([store.hashesOf(tile), hashes]))
  }
  put(0, many.slice(0, 65_000))
  put(65_000, many.slice(65_000))
  t.equal(store.tiles.size, 257 + 1 + 1)
  t.same(edgeTiles(65_537), [
    { level: 0, index: 256, width: 1 },
    { level: 2, index: 0, width: 1 },
  ])
  t.same(store.tiles.get('2/0'), treeHash(Array.from({ length: 65_536 }, (_, n) => Buffer.from(`${n}`))))
})

t.test('counts the tiles of the specification’s example', async (t) => {
  t.equal(allTiles(70_000).length, 273 + 1 + 1 + 1 + 1)
  t.same(edgeTiles(70_000).map(tilePath), ['tile/0/273.p/112', 'tile/1/001.p/17', 'tile/2/000.p/1'])
  t.same(edgeTiles(256).map(tilePath), ['tile/1/000.p/1'])
  t.same(edgeTiles(0), [])
})

t.test('refuses to grow from tiles that are not those of the tree', async (t) => {
  const added = leaves.slice(0, 10)
  t.throws(() => newTiles(250, added, () => Buffer.alloc(249 * 32)), refused)
  t.throws(() => newTiles(250, added, () => Buffer.alloc(251 * 32)), refused)
  t.throws(() => newTiles(0, [Buffer.alloc(31)], () => Buffer.alloc(0)), refused)
})

t.test('proves inclusion as the definition does', async (t) => {
  for (const size of [1, 2, 3, 7, 8, 255, 256, 257, 300])
    for (let index = 0; index < size; index += size > 10 ? 13 : 1)
      t.same(inclusionProof(index, size, whole.read), auditPath(index, entries.slice(0, size)), `${index} of ${size}`)
  fc.assert(
    fc.property(aSize, fc.nat(), (size, any) => {
      const index = any % size
      t.same(inclusionProof(index, size, whole.read), auditPath(index, entries.slice(0, size)))
    }),
    { numRuns: 60 },
  )
})

t.test('proves consistency as the definition does', async (t) => {
  for (const second of [1, 2, 3, 7, 8, 255, 256, 257, 300])
    for (let first = 1; first <= second; first += second > 10 ? 13 : 1)
      t.same(
        consistencyProof(first, second, whole.read),
        consistencyPath(first, entries.slice(0, second)),
        `${first} to ${second}`,
      )
  fc.assert(
    fc.property(aSize, fc.nat(), (second, any) => {
      const first = 1 + (any % second)
      t.same(consistencyProof(first, second, whole.read), consistencyPath(first, entries.slice(0, second)))
    }),
    { numRuns: 60 },
  )
})

t.test('reads a proof from only the tiles and nodes that it names', async (t) => {
  fc.assert(
    fc.property(aSize, fc.nat(), (size, any) => {
      const nodes = inclusionNodes(any % size, size)
      const named = new Map(tilesFor(nodes, size).map((tile) => [place(tile), tile]))
      const hashesOf = (tile: TilePlace) => whole.hashesOf(tile).subarray(0, (named.get(place(tile))?.width ?? 0) * 32)
      const read: TreeNode[] = []
      inclusionProof(any % size, size, (node) => {
        read.push(node)
        return nodeFromTiles(node, hashesOf)
      })
      t.same(read, nodes)
    }),
    { numRuns: 60 },
  )
})

// Together with the leaf, the nodes of a path are the whole tree, each leaf once.
function covers(nodes: readonly TreeNode[], begin: number, end: number): boolean {
  const ranges = nodes.map(({ level, index }) => ({ from: BigInt(index) * 2n ** BigInt(level), count: 2n ** BigInt(level) }))
  ranges.sort((a, b) => (a.from < b.from ? -1 : 1))
  let at = BigInt(begin)
  for (const { from, count } of ranges) {
    if (from !== at) return false
    at += count
  }
  return at === BigInt(end)
}

t.test('names nodes that cover the tree once, up to 2^53 - 1 leaves', async (t) => {
  fc.assert(
    fc.property(aHugeSize, fc.maxSafeInteger(), (size, any) => {
      const index = Math.abs(any) % size
      const nodes = inclusionNodes(index, size)
      t.ok(covers([...nodes, { level: 0, index }], 0, size), `${index} of ${size}`)
      t.ok(covers(edgeNodes(size), 0, size))
      const first = index + 1
      const isPower = Number.isInteger(Math.log2(first)) && 2 ** Math.round(Math.log2(first)) === first
      const steps = consistencyNodes(first, size)
      t.ok(first === size ? steps.length === 0 : covers(steps, isPower ? first : 0, size), `${first} to ${size}`)
      const tiles = tilesFor([...nodes, ...steps], size)
      t.ok(tiles.every(({ width }) => width >= 1 && width <= 256))
      t.equal(new Set(tiles.map(place)).size, tiles.length, 'each tile once')
    }),
    { numRuns: 300 },
  )
})

t.test('proves what verifies in a tree of up to 2^53 - 1 leaves', async (t) => {
  const check = (size: number, index: number) => {
    const read = hugeTree(index)
    const root = hugeRoot(size, read)
    verifyInclusion({ leaf: oddLeaf, index, size, path: inclusionProof(index, size, read), root })
    const first = index + 1
    const path = consistencyProof(first, size, read)
    verifyConsistency({ first, firstRoot: hugeRoot(first, read), second: size, secondRoot: root, path })
  }
  for (const size of [largest, largest - 1, 2 ** 52, 2 ** 52 + 1, 2 ** 32, 2 ** 32 + 1, 2 ** 31])
    for (const index of [0, 1, size - 1, size - 2, Math.floor(size / 2)]) check(size, index)
  fc.assert(
    fc.property(aHugeSize, fc.maxSafeInteger(), (size, any) => check(size, Math.abs(any) % size)),
    { numRuns: 100 },
  )
  t.pass()
})

t.test('names the tiles of the largest tree', async (t) => {
  const leaf = { level: 0, index: largest - 1 }
  t.same(tilesFor([leaf], largest).map(tilePath), ['tile/0/x035/x184/x372/x088/831.p/255'])
  t.same(tilesFor(edgeNodes(largest), largest).map(tilePath).at(0), 'tile/6/000.p/31')
  t.equal(edgeTiles(largest).length, 7)
})

t.test('refuses places that no tree has', async (t) => {
  const read = () => leaves[0]!
  for (const [index, size] of [
    [0, 0],
    [1, 1],
    [-1, 1],
    [0.5, 1],
    [0, 1.5],
    [0, 2 ** 53],
    [Number.NaN, 1],
    [0, Infinity],
  ] as const) {
    t.throws(() => inclusionProof(index, size, read), refused, `leaf ${index} of ${size}`)
    t.throws(() => inclusionNodes(index, size), refused)
  }
  for (const [first, second] of [
    [0, 0],
    [0, 1],
    [2, 1],
    [-1, 1],
    [0.5, 1],
    [1, 1.5],
    [1, 2 ** 53],
    [Number.NaN, 1],
    [1, Infinity],
  ] as const) {
    t.throws(() => consistencyProof(first, second, read), refused, `${first} to ${second}`)
    t.throws(() => consistencyNodes(first, second), refused)
  }
  t.throws(() => tilesFor([{ level: 1, index: 1 }], 3), refused, 'a subtree that is not full')
  t.throws(() => nodeFromTiles({ level: 3, index: 0 }, () => Buffer.alloc(7 * 32)), refused, 'a tile that is too short')
  t.throws(() => nodeFromTiles({ level: 0, index: 5 }, () => Buffer.alloc(0)), refused, 'a tile that is not there')
})
