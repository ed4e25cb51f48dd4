import fc from 'fast-check'
import t from 'tap'
import { type Consistency, verifyConsistency } from '#domain/consistency.ts'
import { consistencyPath, entriesOf, leafOf, treeHash } from './rfc-6962.ts'

const refused = { code: 'bad_evidence' }
const entries = entriesOf(2_000)
const roots = new Map<number, Buffer>()
function rootAt(size: number): Buffer {
  const root = roots.get(size) ?? treeHash(entries.slice(0, size))
  roots.set(size, root)
  return root
}

function proofOf(first: number, second: number): Consistency {
  const path = consistencyPath(first, entries.slice(0, second))
  return { first, firstRoot: rootAt(first), second, secondRoot: rootAt(second), path }
}

t.test('verifies every proof of the definition up to 40 leaves', async (t) => {
  for (let second = 1; second <= 40; second++)
    for (let first = 1; first <= second; first++)
      t.doesNotThrow(() => verifyConsistency(proofOf(first, second)), `${first} to ${second}`)
})

t.test('verifies proofs of larger trees', async (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: entries.length }), fc.nat(), (second, any) =>
      verifyConsistency(proofOf(1 + (any % second), second)),
    ),
    { numRuns: 60 },
  )
  t.pass()
})

t.test('refuses a proof of anything else', async (t) => {
  const other = leafOf(Buffer.from('another'))
  for (let second = 2; second <= 20; second++)
    for (let first = 1; first < second; first++) {
      const proof = proofOf(first, second)
      const { path } = proof
      const changed: [string, Partial<Consistency>][] = [
        ['another first root', { firstRoot: other }],
        ['another second root', { secondRoot: other }],
        ['the roots exchanged', { firstRoot: proof.secondRoot, secondRoot: proof.firstRoot }],
        ['too long', { path: [...path, other] }],
        ['too long at its begin', { path: [other, ...path] }],
        ['too long by the root', { path: [...path, proof.secondRoot] }],
        ['too short', { path: path.slice(1) }],
        ['too short at its end', { path: path.slice(0, -1) }],
        ['empty', { path: [] }],
        ['a short hash', { path: path.with(-1, path.at(-1)!.subarray(1)) }],
        ['a short first root', { firstRoot: proof.firstRoot.subarray(1) }],
        ...path.map((_, n): [string, Partial<Consistency>] => [`hash ${n} changed`, { path: path.with(n, other) }]),
      ]
      for (const [name, change] of changed)
        t.throws(() => verifyConsistency({ ...proof, ...change }), refused, `${first} to ${second}: ${name}`)
    }
})

// Several second sizes can have a path of the same form, so the size must come from where the root comes from: the signed note.
t.test('refuses a proof that is said to begin at another size', async (t) => {
  const sizes = Array.from({ length: 16 }, (_, n) => n + 1)
  for (const second of sizes)
    for (const first of sizes.filter((size) => size < second))
      for (const size of sizes.filter((size) => size !== first))
        t.throws(
          () => verifyConsistency({ ...proofOf(first, second), first: size }),
          refused,
          `${first} as ${size}, to ${second}`,
        )
})

t.test('never lets two different trees follow one another, whatever the sizes and the path say', async (t) => {
  // A fork: 9 leaves, of which leaf 4 differs. No proof of the true log leads there.
  const forked = entries.slice(0, 9).with(4, Buffer.from('changed'))
  const forkedRoot = treeHash(forked)
  for (let first = 5; first <= 9; first++)
    for (let second = first + 1; second <= 20; second++) {
      t.throws(() => verifyConsistency({ ...proofOf(first, second), firstRoot: treeHash(forked.slice(0, first)) }), refused)
      t.throws(() => verifyConsistency({ ...proofOf(first, second), secondRoot: forkedRoot }), refused)
    }
})

t.test('says nothing about the empty tree', async (t) => {
  const whole = { second: 5, secondRoot: rootAt(5), path: [] }
  t.throws(() => verifyConsistency({ ...whole, first: 0, firstRoot: treeHash([]) }), refused)
  t.throws(() => verifyConsistency({ ...whole, first: 0, firstRoot: rootAt(5) }), refused)
  const empty = { first: 0, firstRoot: treeHash([]), second: 0, secondRoot: treeHash([]), path: [] }
  t.throws(() => verifyConsistency(empty), refused)
})

t.test('takes the same size only with the same root and no path', async (t) => {
  for (const size of [1, 2, 5, 8]) {
    const same = proofOf(size, size)
    t.doesNotThrow(() => verifyConsistency(same))
    t.throws(() => verifyConsistency({ ...same, path: [same.firstRoot] }), refused)
    t.throws(() => verifyConsistency({ ...same, secondRoot: rootAt(size + 1) }), refused)
  }
})

t.test('refuses sizes that no tree has', async (t) => {
  const proof = proofOf(3, 7)
  const strange: [number, number][] = [
    ...([
      [7, 3],
      [-1, 7],
      [0.5, 7],
      [3, 7.5],
      [3, 2 ** 53],
      [2 ** 53, 2 ** 54],
    ] as [number, number][]),
    ...([
      [Number.NaN, 7],
      [3, Number.NaN],
      [3, Infinity],
      [Infinity, Infinity],
    ] as [number, number][]),
  ]
  for (const [first, second] of strange)
    t.throws(() => verifyConsistency({ ...proof, first, second }), refused, `${first} to ${second}`)
})
