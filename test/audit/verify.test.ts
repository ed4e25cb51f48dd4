// The offline verifier against everything that can be done to a bundle: each way as one sentence, with the manifest made to fit again, so
// that it is the tree, the chains, the signatures or the index that notice.
import t, { type Test } from 'tap'
import { makeVerifierKey } from '#domain/signed-note.ts'
import type { Stage, VerdictKind } from '#domain/verdict.ts'
import { makeTable } from '#steps/entry-table.ts'
import {
  bundleOf,
  growLog,
  indexOf,
  type Line,
  leafOf,
  manifestOf,
  membersOf,
  newKey,
  newNetwork,
  rootOf,
  signTree,
  tarOf,
  toLines,
  verify,
  withBrackets,
  withTables,
} from '../bundle.ts'

const network = newNetwork()
const plans = Array.from({ length: 24 }, (_, n) => ({
  item: `item ${n % 5}`,
  values: { status: 'ok', note: { z: [n, 'ü'], a: null } },
}))
const log = growLog(network, plans)
const leavesOf = (lines: readonly Line[]) => lines.map(({ entry }) => leafOf(entry))
const leaves = leavesOf(log)
const itemOf = (lines: readonly Line[], n: number) => lines.filter(({ index }) => index % 5 === n)

/** What a liaison gets of this log, as a bundle that says it is whole. */
const whole = (lines = log, of = leaves, bent: Record<string, unknown> = { complete: 'log' }) =>
  bundleOf(membersOf(network, { lines, leaves: of }), bent)

function expectFault(t: Test, bytes: Buffer, { kind, stage, index, policy = network.policy, since }: Expected) {
  const found = verify(bytes, policy, { since: since === undefined ? undefined : Buffer.from(since) })
  const [first] = found.faults
  t.equal(found.verdict, kind, JSON.stringify(found.faults))
  if (stage !== undefined) t.equal(first?.stage, stage, first?.says ?? '')
  if (index !== undefined) t.equal(first?.index, index, first?.says ?? '')
  t.equal(found.complete, 'none', 'nothing is called complete')
  return found
}
interface Expected {
  kind: VerdictKind
  stage?: Stage
  index?: number
  policy?: string
  since?: string
}
const bentEntry = (line: Line, change: (entry: string) => string): Line => ({ ...line, entry: change(line.entry) })
const replaced = (n: number, line: Line) => log.map((each) => (each.index === n ? line : each))

t.test('a whole log is valid, and says how much was checked', async (t) => {
  const found = verify(await whole(), network.policy)
  t.equal(found.verdict, 'valid', JSON.stringify(found.faults))
  t.match(found.counts, { entries: 24, items: 5, disclosed: 72, seen: 20, gaps: 0, openStarts: 0 })
  t.match(found.logs, [{ origin: network.origin, size: 24, entries: 24, witnessed: 2, needed: 2, of: 2 }])
  t.equal(found.complete, 'log')
  t.equal(found.bundlePolicy, 'same')
})

t.test('a selection is valid without the rest of the log, and claims nothing', async (t) => {
  const found = verify(await whole(itemOf(log, 2), leaves, {}), network.policy)
  t.equal(found.verdict, 'valid', JSON.stringify(found.faults))
  t.equal(found.complete, 'none')
  t.equal(found.counts.entries, 5)
})

t.test('logs of 0, 1, 255, 256, 257 and 70000 leaves are read with the tiles that each needs', async (t) => {
  for (const size of [0, 1, 255, 256, 257]) {
    const lines = growLog(
      network,
      Array.from({ length: size }, (_, n) => ({ item: `item ${n % 3}` })),
      { seenEvery: 50 },
    )
    const found = verify(await whole(lines, leavesOf(lines)), network.policy)
    t.equal(found.verdict, 'valid', `${size}: ${JSON.stringify(found.faults)}`)
  }
  const [only] = growLog(network, [{ item: 'alone' }]) as [Line]
  const many = Array.from({ length: 70_000 }, (_, n) => (n === 66_000 ? leafOf(only.entry) : leafOf(`filler ${n}`)))
  const found = verify(
    await bundleOf(membersOf(network, { lines: [{ ...only, index: 66_000 }], leaves: many, note: signTree(network, many) })),
    network.policy,
  )
  t.equal(found.verdict, 'valid', JSON.stringify(found.faults))
})

t.test('an entry that was edited is found, with its place', async (t) => {
  const edited = bentEntry(log[7] as Line, (entry) => entry.replace('item.routed', 'item.traced'))
  expectFault(t, await whole(replaced(7, edited)), { kind: 'tampered', stage: 'inclusion', index: 7 })
})

t.test('two entries that changed places are found', async (t) => {
  const [a, b] = [log[3] as Line, log[4] as Line]
  const swapped = log.map((line) => (line === a ? { ...b, index: 3 } : line === b ? { ...a, index: 4 } : line))
  expectFault(t, await whole(swapped), { kind: 'tampered', stage: 'inclusion', index: 3 })
})

t.test('an entry that was put in is found', async (t) => {
  const extra = { ...(growLog(network, [{ item: 'foreign' }])[0] as Line), index: 5 }
  const shifted = [...log.slice(0, 5), extra, ...log.slice(5).map((line) => ({ ...line, index: line.index + 1 }))]
  expectFault(t, await whole(shifted), { kind: 'tampered', stage: 'inclusion', index: 5 })
  expectFault(t, await whole([...log.slice(0, 5), extra, ...log.slice(5)]), { kind: 'tampered', stage: 'inclusion', index: 5 })
  expectFault(t, await whole([...log, { ...extra, index: 24 }]), { kind: 'tampered', stage: 'inclusion', index: 24 })
})

t.test(
  'an entry that was taken out is found: where the others keep their places as a gap, where they move up as another tree',
  async (t) => {
    expectFault(t, await whole(log.filter(({ index }) => index !== 9)), { kind: 'incomplete', stage: 'inclusion', index: 9 })
    const closed = log.filter(({ index }) => index !== 9).map((line, index) => ({ ...line, index }))
    expectFault(t, await whole(closed), { kind: 'tampered', stage: 'inclusion', index: 9 })
    expectFault(t, await whole(log.slice(0, -1)), { kind: 'incomplete', stage: 'inclusion', index: 23 })
  },
)

t.test('a tree that was grown again behind the old checkpoint has another root', async (t) => {
  const other = growLog(
    network,
    plans.map((plan, n) => (n === 11 ? { ...plan, event: 'item.closed' } : plan)),
  )
  const members = membersOf(network, { lines: other, leaves: leavesOf(other), note: signTree(network, leaves) })
  expectFault(t, await bundleOf(members, { complete: 'log' }), { kind: 'tampered', stage: 'root' })
})

t.test('a log that was rebuilt and signed with the real key is not witnessed', async (t) => {
  const other = growLog(
    network,
    plans.map((plan, n) => (n === 11 ? { ...plan, event: 'item.closed' } : plan)),
  )
  const note = signTree(network, leavesOf(other), { witnesses: [] })
  const found = expectFault(t, await bundleOf(membersOf(network, { lines: other, leaves: leavesOf(other), note })), {
    kind: 'incomplete',
    stage: 'quorum',
  })
  t.match(found.faults[0]?.says, /Witnessed 0 of 2/)
  const one = signTree(network, leavesOf(other), { witnesses: network.witnesses.slice(0, 1) })
  expectFault(t, await bundleOf(membersOf(network, { lines: other, leaves: leavesOf(other), note: one })), {
    kind: 'incomplete',
    stage: 'quorum',
  })
})

t.test('cosignatures of the old tree under a new checkpoint do not verify', async (t) => {
  const other = growLog(
    network,
    plans.map((plan, n) => (n === 11 ? { ...plan, event: 'item.closed' } : plan)),
  )
  const old = signTree(network, leaves).split('\n\n')[1]?.split('\n').slice(1).join('\n')
  const note = signTree(network, leavesOf(other), { witnesses: [] }) + old
  expectFault(t, await bundleOf(membersOf(network, { lines: other, leaves: leavesOf(other), note })), {
    kind: 'tampered',
    stage: 'signature',
  })
})

t.test('a checkpoint under another key is not the log’s', async (t) => {
  const note = signTree(network, leaves, { log: newKey() })
  expectFault(t, await bundleOf(membersOf(network, { lines: log, leaves, note })), { kind: 'tampered', stage: 'signature' })
})

t.test('cosignatures of witnesses that the policy does not know count for nothing', async (t) => {
  const note = signTree(network, leaves, { witnesses: newNetwork().witnesses })
  expectFault(t, await bundleOf(membersOf(network, { lines: log, leaves, note })), { kind: 'incomplete', stage: 'quorum' })
})

t.test('a policy that names no known key verifies nothing', async (t) => {
  expectFault(t, await whole(), { kind: 'incomplete', stage: 'quorum', policy: newNetwork({ member: 'delta' }).policy })
  const found = verify(await whole(), newNetwork().policy)
  t.equal(found.verdict, 'tampered', 'the log’s name with another key is another log')
  t.equal(found.bundlePolicy, 'other', 'what the bundle brings is compared and not used')
})

t.test('a policy that is none is unreadable, and says in which line', async (t) => {
  const found = expectFault(t, await whole(), { kind: 'unreadable', stage: 'read', policy: `${network.policy}quorum none\n` })
  t.match(found.faults[0]?.says, /line 6/)
})

t.test('a note with CRLF is no checkpoint', async (t) => {
  const note = signTree(network, leaves).replaceAll('\n', '\r\n')
  expectFault(t, await bundleOf(membersOf(network, { lines: log, leaves, note })), { kind: 'unreadable', stage: 'read' })
})

t.test('a duplicate signature or cosignature is no checkpoint', async (t) => {
  const note = signTree(network, leaves)
  for (const n of [1, 2]) {
    const line = note.split('\n\n')[1]?.split('\n')[n] as string
    expectFault(t, await bundleOf(membersOf(network, { lines: log, leaves, note: `${note}${line}\n` })), {
      kind: 'unreadable',
      stage: 'read',
    })
  }
})

t.test('sizes past 2^53 are no checkpoint', async (t) => {
  for (const size of ['9007199254740993', '18446744073709551616', '024', '-1', '1e3']) {
    const note = signTree(network, leaves).replace('\n24\n', `\n${size}\n`)
    expectFault(t, await bundleOf(membersOf(network, { lines: log, leaves, note })), { kind: 'unreadable', stage: 'read' })
  }
})

t.test('the size of another checkpoint under this one’s signatures does not verify', async (t) => {
  const note = signTree(network, leaves).replace('\n24\n', '\n23\n')
  expectFault(t, await bundleOf(membersOf(network, { lines: log, leaves, note })), { kind: 'tampered', stage: 'signature' })
})

t.test('tiles of another size of the tree do not fit', async (t) => {
  const members = membersOf(network, { lines: log.slice(0, 20), leaves: leaves.slice(0, 20), note: signTree(network, leaves) })
  expectFault(t, await bundleOf(members), { kind: 'incomplete', stage: 'root' })
})

t.test('a tile that was changed does not lead to the root, and a missing one leads nowhere', async (t) => {
  const lines = growLog(
    network,
    Array.from({ length: 600 }, () => ({ item: 'one' })),
    { seenEvery: 100 },
  )
  const members = membersOf(network, { lines, leaves: leavesOf(lines) })
  const names = [...members.keys()].filter((name) => name.includes('/tile/'))
  t.same(names.sort(), ['2026/tile/0/000', '2026/tile/0/001', '2026/tile/0/002.p/88', '2026/tile/1/000.p/2'])
  for (const name of names) {
    const bent = Buffer.from(members.get(name) as Buffer)
    bent.writeUInt8((bent.readUInt8(40) ^ 1) & 0xff, 40)
    expectFault(t, await bundleOf(new Map([...members, [name, bent]])), { kind: 'tampered', stage: 'root' })
    expectFault(t, await bundleOf(new Map([...members].filter(([each]) => each !== name))), { kind: 'incomplete', stage: 'root' })
  }
  const foreign = new Map([...members, ['2026/tile/0/003', members.get('2026/tile/0/000') as Buffer]])
  expectFault(t, await bundleOf(foreign), { kind: 'tampered', stage: 'root' })
})

t.test('a log that leaves out an entry of an item itself is told: n has a gap', async (t) => {
  const lines = growLog(
    network,
    plans.map((plan, n) => (n === 12 ? { ...plan, bent: { n: 9 } } : plan)),
  )
  expectFault(t, await whole(lines, leavesOf(lines)), { kind: 'tampered', stage: 'chain', index: 12 })
})

t.test('an entry that names a wrong predecessor is told: prev is not its leaf', async (t) => {
  const lines = growLog(
    network,
    plans.map((plan, n) => (n === 12 ? { ...plan, bent: { prev: leaves[0]?.toString('base64url') } } : plan)),
  )
  expectFault(t, await whole(lines, leavesOf(lines)), { kind: 'tampered', stage: 'chain', index: 12 })
})

t.test('two entries with the same n of one item contradict each other', async (t) => {
  const lines = growLog(
    network,
    plans.map((plan, n) => (n === 12 ? { ...plan, bent: { n: 2 } } : plan)),
  )
  expectFault(t, await whole(lines, leavesOf(lines)), { kind: 'tampered', stage: 'chain', index: 12 })
})

t.test('a disclosed value or salt that is another does not open the commitment', async (t) => {
  const line = log[6] as Line
  const bend = (disclosed: Record<string, { salt: string; value: unknown }>) => whole(replaced(6, { ...line, disclosed }))
  const { status, ...others } = line.disclosed as Record<'status' | 'actor' | 'note', { salt: string; value: unknown }>
  expectFault(t, await bend({ ...others, status: { ...status, value: 'other' } }), {
    kind: 'tampered',
    stage: 'disclosure',
    index: 6,
  })
  expectFault(t, await bend({ ...others, status: { ...status, salt: others.actor.salt } }), {
    kind: 'tampered',
    stage: 'disclosure',
    index: 6,
  })
  expectFault(t, await bend({ ...others, other: status }), { kind: 'tampered', stage: 'disclosure', index: 6 })
  t.equal(verify(await bend(others), network.policy).verdict, 'valid', 'what stays closed is no fault')
})

t.test('an entry that is dated after its first cosignature is told, one within the tolerance is not', async (t) => {
  const dated = (at: string) =>
    growLog(
      network,
      plans.map((plan, n) => (n === 5 ? { ...plan, bent: { at } } : plan)),
    )
  const late = dated('2026-03-01T10:01:30.000Z')
  expectFault(t, await whole(late, leavesOf(late)), { kind: 'tampered', stage: 'time', index: 5 })
  const near = dated('2026-03-01T10:01:28.000Z')
  t.equal(verify(await whole(near, leavesOf(near)), network.policy).verdict, 'valid')
})

t.test('an entry that has seen what the log never had, or not yet, is told', async (t) => {
  const root = (size: number) => rootOf(leaves.slice(0, size)).toString('base64url')
  for (const seen of [
    { size: 4, root: root(5) },
    { size: 6, root: root(6) },
    { size: 0, root: root(4) },
  ]) {
    const lines = growLog(
      network,
      plans.map((plan, n) => (n === 5 ? { ...plan, bent: { seen } } : plan)),
    )
    expectFault(t, await whole(lines, leavesOf(lines)), { kind: 'tampered', stage: 'time', index: 5 })
  }
})

t.test('an entry of another log is told, and a checkpoint in another year’s place', async (t) => {
  const lines = growLog(
    network,
    plans.map((plan, n) => (n === 5 ? { ...plan, bent: { log: 'beta/audit/2026' } } : plan)),
  )
  expectFault(t, await whole(lines, leavesOf(lines)), { kind: 'tampered', stage: 'inclusion', index: 5 })
  const members = [...membersOf(network, { lines: log, leaves })].map(
    ([name, bytes]) => [name.replace('2026', '2025'), bytes] as const,
  )
  expectFault(t, await bundleOf(new Map(members)), { kind: 'tampered' })
})

t.test('lines that are not in their exact form are unreadable', async (t) => {
  const members = membersOf(network, { lines: log, leaves })
  const name = '2026/entries/000000.ndjson'
  const text = (members.get(name) as Buffer).toString()
  const bends: [string, string][] = [
    ['white space', text.replace('"index":3', '"index": 3')],
    ['a name twice', text.replace('"index":3', '"index":3,"index":3')],
    ['a number with a leading zero', text.replace('"index":3', '"index":03')],
    ['an escape that is not needed', text.replace('"status"', '"st\\u0061tus"')],
    ['a value that is not canonical', text.replace('"value":"ok"', '"value":"o\\u006b"')],
    ['members out of order', text.replace('{"a":null,"z"', '{"z":null,"a"')],
    ['a fraction', text.replace('"z":[3,', '"z":[3.0,')],
    ['no last newline', text.slice(0, -1)],
    ['an empty line', `${text}\n`],
    ['CRLF', text.replaceAll('\n', '\r\n')],
    ['a byte order mark', `\ufeff${text}`],
    ['an entry with white space', text.replace('{\\"actor\\"', '{ \\"actor\\"')],
    ['an entry with a member more', text.replace(',\\"v\\":1}', ',\\"v\\":1,\\"w\\":1}')],
  ]
  for (const [what, bent] of bends) {
    t.not(bent, text, what)
    const found = verify(await bundleOf(new Map([...members, [name, Buffer.from(bent)]]), { entries: 24 }), network.policy)
    t.equal(found.verdict, 'unreadable', what)
  }
  const latin = Buffer.from(text.replace('ü', '?'))
  latin[latin.indexOf('?')] = 0xfc
  t.equal(verify(await bundleOf(new Map([...members, [name, latin]])), network.policy).verdict, 'unreadable', 'no UTF-8')
})

t.test('with an older checkpoint the log must only have grown', async (t) => {
  const bytes = await whole()
  for (const size of [1, 7, 23, 24]) {
    const since = Buffer.from(signTree(network, leaves.slice(0, size)))
    const found = verify(bytes, network.policy, { since })
    t.equal(found.verdict, 'valid', JSON.stringify(found.faults))
    t.equal(found.since, 'extended')
  }
})

t.test('a forked view is shown by the older checkpoint, at the same size and at a smaller one', async (t) => {
  const other = leavesOf(
    growLog(
      network,
      plans.map((plan, n) => (n === 3 ? { ...plan, event: 'item.closed' } : plan)),
    ),
  )
  for (const size of [24, 10]) {
    const found = expectFault(t, await whole(), {
      kind: 'tampered',
      stage: 'consistency',
      since: signTree(network, other.slice(0, size)),
    })
    t.equal(found.since, 'not proven')
  }
})

t.test('an older view than the checkpoint that was kept proves nothing, nor does the empty log, nor another one', async (t) => {
  const more = [...leaves, leafOf('one more')]
  expectFault(t, await whole(), { kind: 'incomplete', stage: 'consistency', since: signTree(network, more) })
  expectFault(t, await whole(), { kind: 'incomplete', stage: 'consistency', since: signTree(network, []) })
  const other = newNetwork({ member: 'alpha', year: 2025 })
  expectFault(t, await whole(), {
    kind: 'incomplete',
    stage: 'consistency',
    since: signTree(other, leaves),
    policy: `log ${keyOf(other)}\n${network.policy}`,
  })
  expectFault(t, await whole(), { kind: 'unreadable', stage: 'consistency', since: 'nothing\n' })
  expectFault(t, await whole(), { kind: 'tampered', stage: 'signature', since: signTree(network, leaves, { log: newKey() }) })
})
const keyOf = ({ origin, log }: ReturnType<typeof newNetwork>) =>
  makeVerifierKey(origin, 1, Buffer.from(log.publicKey.export({ format: 'jwk' }).x as string, 'base64url')).text

t.test('without the tiles that lead to the older checkpoint nothing is said of it', async (t) => {
  const lines = growLog(
    network,
    Array.from({ length: 600 }, () => ({ item: 'one' })),
    { seenEvery: 100 },
  )
  const members = membersOf(network, { lines: lines.slice(300, 301), leaves: leavesOf(lines) })
  expectFault(t, await bundleOf(members), {
    kind: 'incomplete',
    stage: 'consistency',
    since: signTree(network, leavesOf(lines).slice(0, 100)),
  })
  t.equal(
    verify(await bundleOf(members), network.policy, { since: Buffer.from(signTree(network, leavesOf(lines).slice(0, 256))) })
      .since,
    'extended',
  )
})

// An index.root entry states, at place 20, what all items had by then.
const before = growLog(network, plans.slice(0, 20))
const items = [0, 1, 2, 3, 4].map((n) => ({
  item: `item ${n}`,
  country: ['AA', 'BB', 'BB', 'CC', null][n] as string | null,
  lines: before,
}))
const index = indexOf(items)
const indexed = growLog(network, [
  ...plans.slice(0, 20),
  { item: 'index', event: 'index.root', values: { root: index.root, size: index.size } },
  ...plans.slice(20),
])
const indexLine = indexed[20] as Line
const indexedLeaves = leavesOf(indexed)
const oneItem = (n: number) =>
  indexed.filter(({ entry }) => entry.includes(items[n] ? ((log[n] as Line).entry.match(/"ref":"([^"]*)/)?.[1] as string) : ''))
const bySize = (lines: Line[]) => lines.toSorted((one, other) => one.index - other.index)

function withIndex(lines: readonly Line[], indexLines: readonly unknown[], bent: Record<string, unknown>) {
  const members = membersOf(network, { lines: bySize([...lines, indexLine]), leaves: indexedLeaves })
  members.set('2026/index.ndjson', toLines([{ index: 20, size: index.size }, ...indexLines]))
  return bundleOf(members, bent)
}
const lineOf = (n: number) => index.lineOf(index.placeOf(`item ${n}`))

t.test('all of an item is proven by the index, also when it went on afterwards', async (t) => {
  for (const n of [0, 1, 4]) {
    const found = verify(await withIndex(oneItem(n), [lineOf(n)], { complete: 'item' }), network.policy)
    t.equal(found.verdict, 'valid', JSON.stringify(found.faults))
    t.equal(found.complete, 'item')
  }
})

t.test('a missing tail of an item is shown by the index', async (t) => {
  const cut = oneItem(1).filter(({ index }) => index < 16)
  expectFault(t, await withIndex(cut, [lineOf(1)], { complete: 'item' }), { kind: 'incomplete', stage: 'chain' })
})

t.test('a missing entry in the middle or at the start of an item is shown by n', async (t) => {
  for (const gone of [6, 1]) {
    const cut = oneItem(1).filter(({ index }) => index !== gone)
    expectFault(t, await withIndex(cut, [lineOf(1)], { complete: 'item' }), {
      kind: 'incomplete',
      stage: 'chain',
      index: gone === 6 ? 11 : 6,
    })
  }
})

t.test('an index that the log never stated is refused', async (t) => {
  const short = { ...lineOf(1), n: 2, last: leafOf((oneItem(1)[1] as Line).entry).toString('base64url') }
  expectFault(t, await withIndex(oneItem(1).slice(0, 2), [short], { complete: 'item' }), {
    kind: 'tampered',
    stage: 'chain',
    index: 20,
  })
  expectFault(t, await withIndex(oneItem(1), [], { complete: 'item' }), { kind: 'incomplete', stage: 'chain' })
  const members = membersOf(network, { lines: oneItem(1), leaves: indexedLeaves })
  expectFault(t, await bundleOf(members, { complete: 'item' }), { kind: 'incomplete', stage: 'chain' })
  members.set('2026/index.ndjson', toLines([{ index: 20, size: index.size }, lineOf(1)]))
  expectFault(t, await bundleOf(members, { complete: 'item' }), { kind: 'incomplete', stage: 'chain', index: 20 })
})

const country = { complete: 'country', filter: { country: 'BB' } }
const places = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => index.lineOf(from + n))
const [first, last] = [index.placeOf('item 1'), index.placeOf('item 2')].sort() as [number, number]

t.test('a whole country is proven by its run in the index and the neighbours of it', async (t) => {
  const found = verify(await withIndex([...oneItem(1), ...oneItem(2)], places(first - 1, last + 1), country), network.policy)
  t.equal(found.verdict, 'valid', JSON.stringify(found.faults))
  t.equal(found.complete, 'country')
})

t.test('an item of a country that was left out is shown', async (t) => {
  const gone = index.lineOf(first).ref
  const others = [...oneItem(1), ...oneItem(2)].filter(({ entry }) => !entry.includes(gone))
  expectFault(t, await withIndex(others, places(first - 1, last + 1), country), { kind: 'incomplete', stage: 'chain' })
  expectFault(t, await withIndex(others, places(last, last + 1), country), { kind: 'incomplete', stage: 'chain' })
  expectFault(t, await withIndex(others, [...places(first - 1, first - 1), ...places(last, last + 1)], country), {
    kind: 'incomplete',
    stage: 'chain',
  })
  expectFault(t, await withIndex(others, places(first, first), country), { kind: 'incomplete', stage: 'chain' })
  expectFault(t, await withIndex([], [], country), { kind: 'incomplete', stage: 'chain' })
})

t.test('that a country has no item is proven by two neighbours', async (t) => {
  for (const [of, from, to] of [
    ['AB', 1, 2],
    ['ZZ', 4, 4],
  ] as const) {
    const found = verify(await withIndex([], places(from, to), { complete: 'country', filter: { country: of } }), network.policy)
    t.equal(found.verdict, 'valid', `${of} ${JSON.stringify(found.faults)}`)
  }
})

t.test('a bundle without its manifest is cut off; files that it names or does not name are told', async (t) => {
  const members = membersOf(network, { lines: log, leaves })
  expectFault(t, await tarOf(members), { kind: 'incomplete', stage: 'read' })
  const manifest = manifestOf(members)
  const less = new Map([...members].filter(([name]) => !name.includes('/tile/')))
  expectFault(t, await tarOf(new Map([...less, ['manifest.json', manifest]])), { kind: 'incomplete', stage: 'read' })
  const more = new Map([...members, ['2026/entries/000000.csv', Buffer.from('a\n')], ['manifest.json', manifest]])
  expectFault(t, await tarOf(more), { kind: 'tampered', stage: 'read' })
  expectFault(t, await tarOf(new Map([...members, ['other.txt', Buffer.from('a\n')], ['manifest.json', manifest]])), {
    kind: 'unreadable',
    stage: 'read',
  })
  expectFault(t, await bundleOf(members, { entries: 23 }), { kind: 'tampered' })
  expectFault(t, await bundleOf(members, { entries: 25 }), { kind: 'incomplete' })
  expectFault(t, Buffer.alloc(0), { kind: 'unreadable', stage: 'read' })
  expectFault(t, Buffer.from('not a tar at all'.repeat(100)), { kind: 'unreadable', stage: 'read' })
})

const tabled = (lines = log) => withTables(membersOf(network, { lines, leaves, chunk: 10 }))
const table = (n: number) => `2026/entries/00000${n}.csv`

t.test('a bundle with tables is valid, also where a chunk is read in several stretches', async (t) => {
  t.match(verify(await bundleOf(tabled(), { complete: 'log' }), network.policy), { verdict: 'valid', faultCount: 0 })
  const values = { note: '=1+1, "ü"\r\n'.repeat(4000) }
  const large = growLog(
    network,
    Array.from({ length: 60 }, () => ({ item: 'large', values })),
  )
  const members = withTables(membersOf(network, { lines: large, leaves: leavesOf(large) }))
  t.ok((members.get('2026/entries/000000.ndjson')?.length ?? 0) > 2 << 20)
  t.match(verify(await bundleOf(members, { complete: 'log' }), network.policy), { verdict: 'valid', faultCount: 0 })
})

t.test('a table that was altered is found, though the manifest fits: it is what people open', async (t) => {
  const fault = { kind: 'tampered', stage: 'disclosure', index: 10 } as const
  const of = tabled().get(table(1)) as Buffer
  const lastRow = of.lastIndexOf('\r\n', of.length - 3) + 2
  const changes = {
    'a word': Buffer.from(of.toString().replace('item.routed', 'item.closed')),
    'a row less': of.subarray(0, lastRow),
    'a row more': Buffer.concat([of, of.subarray(lastRow)]),
    'a byte less': of.subarray(0, -1),
    'a byte more': Buffer.concat([of, Buffer.from('\n')]),
    'a header': Buffer.from(of.toString().replace('recordedAt,at', 'at,recordedAt')),
    'no byte order mark': of.subarray(3),
    nothing: Buffer.alloc(0),
    'another table': tabled().get(table(2)) as Buffer,
  }
  for (const [what, bytes] of Object.entries(changes)) {
    t.comment(what)
    expectFault(t, await bundleOf(new Map([...tabled(), [table(1), bytes]]), { complete: 'log' }), fault)
  }
})

t.test('a table that was taken out or put in is found', async (t) => {
  const less = tabled()
  less.delete(table(1))
  expectFault(t, await bundleOf(less, { complete: 'log' }), { kind: 'tampered', stage: 'disclosure', index: 10 })
  const more = new Map([...tabled(), [table(3), Buffer.from(makeTable([]))]])
  expectFault(t, await bundleOf(more, { complete: 'log' }), { kind: 'tampered', stage: 'disclosure' })
  const only = new Map([...membersOf(network, { lines: [], leaves }), [table(0), Buffer.from(makeTable(log))]])
  expectFault(t, await bundleOf(only), { kind: 'tampered', stage: 'disclosure' })
})

t.test('an entry that was altered together with its table is told as the entry', async (t) => {
  const edited = bentEntry(log[12] as Line, (entry) => entry.replace('item.routed', 'item.traced'))
  const bytes = await bundleOf(tabled(replaced(12, edited)), { complete: 'log' })
  expectFault(t, bytes, { kind: 'tampered', stage: 'inclusion', index: 12 })
})

t.test('a line of which no table can be made has none that fits, and stops nothing', async (t) => {
  const lines = growLog(network, [{ item: 'a', values: { purpose: 'HOLE' } }])
  const members = withTables(membersOf(network, { lines, leaves: leavesOf(lines) }))
  const chunk = '2026/entries/000000.ndjson'
  const text = (members.get(chunk) as Buffer).toString()
  for (const value of [`${'['.repeat(60)}${']'.repeat(60)}`, `${'['.repeat(30_000)}${']'.repeat(30_000)}`, '"\\ud800"']) {
    members.set(chunk, Buffer.from(text.replace('"HOLE"', `{"purpose":${value}}`)))
    t.not(verify(await bundleOf(members), network.policy).verdict, 'valid')
  }
})

t.test('the table has one form, so that the verifier of tomorrow reads the bundle of today', async (t) => {
  const [one, two] = growLog(network, [
    { item: 'a', values: { country: 'BB', purpose: { purpose: '-1, "x"', case: 'BB-7' } } },
    { item: 'a', values: { status: 'ok' } },
  ]) as [Line, Line]
  const { ref } = JSON.parse(one.entry) as { ref: string }
  const rows = [
    'index,recordedAt,at,event,from,to,country,ref,n,actor,purpose,case,facts',
    `0,2026-03-01T10:00:00.005Z,2026-03-01T10:00:00.000Z,item.routed,alpha,,BB,${ref},1,"{""kind"":""node""}","'-1, ""x""",BB-7,{}`,
    `1,2026-03-01T10:00:01.005Z,2026-03-01T10:00:01.000Z,item.routed,alpha,,,${ref},2,"{""kind"":""node""}",,,"{""status"":""ok""}"`,
    `1,2026-03-01T10:00:01.005Z,2026-03-01T10:00:01.000Z,item.routed,alpha,,,${ref},2,,,,`,
  ]
  t.equal(makeTable([one, two, { ...two, disclosed: {} }]), `\ufeff${rows.map((row) => `${row}\r\n`).join('')}`)
})

const small = growLog(network, plans.slice(0, 3))
const smallNotes = [1, 2].map((size) => signTree(network, leavesOf(small).slice(0, size)))
const smallBundle = () =>
  bundleOf(withBrackets(withTables(membersOf(network, { lines: small, leaves: leavesOf(small) })), [smallNotes]), {
    complete: 'log',
  })

t.test('a bundle that ends early is never valid, wherever it ends', async (t) => {
  const bytes = await smallBundle()
  const kinds = new Set<string>()
  for (let end = 0; end < bytes.length; end += 512) kinds.add(verify(bytes.subarray(0, end), network.policy).verdict)
  for (let end = 1; end < bytes.length; end += 509) kinds.add(verify(bytes.subarray(0, end), network.policy).verdict)
  t.same([...kinds].sort(), ['incomplete', 'unreadable'])
  t.equal(
    verify(Buffer.concat([bytes, Buffer.alloc(512)]), network.policy).verdict,
    'unreadable',
    'nor does anything come after its end',
  )
})

/** Changes every byte, or every `step`-th from any one on, in turn; gives the places where that was not seen. */
function flip(
  bytes: Buffer,
  { from = 0, step = 1, masks }: { from?: number; step?: number; masks: readonly number[] },
): { unseen: number[]; kinds: Set<string> } {
  const unseen: number[] = []
  const kinds = new Set<string>()
  for (let at = from + Math.floor(Math.random() * step); at < bytes.length; at += step) {
    // Most of a tar is padding: of long runs of zeros every 16th is enough.
    if (step === 1 && bytes[at] === 0 && bytes[at - 1] === 0 && at % 16 !== 0) continue
    for (const mask of masks) {
      bytes[at] = (bytes[at] as number) ^ mask
      const { verdict } = verify(bytes, network.policy)
      bytes[at] = (bytes[at] as number) ^ mask
      kinds.add(verdict)
      if (verdict === 'valid') unseen.push(at)
    }
  }
  return { unseen, kinds }
}

t.test(
  'a changed byte anywhere is found: in headers, padding, policy, checkpoints, tiles, entries, manifest and end',
  async (t) => {
    const bytes = await smallBundle()
    t.equal(verify(bytes, network.policy).verdict, 'valid')
    const { unseen, kinds } = flip(bytes, { step: process.env.CROSSLINE_CAMPAIGNS ? 1 : 8, masks: [0x01, 0x80] })
    t.same(unseen, [])
    t.notOk(kinds.has('valid'))
  },
)

t.test(
  'in a manifest without a digest of its own, only time, filter and scope can change unseen: what nothing proves',
  async (t) => {
    const bytes = await whole(small, leavesOf(small), { complete: 'log', digest: undefined })
    const from = bytes.lastIndexOf('{"complete"')
    const { unseen } = flip(bytes, { from, masks: [0x01, 0x02] })
    const text = bytes.toString('latin1')
    const inside = (name: string, end: string) => {
      const begin = text.indexOf(`"${name}":`, from) + name.length + 3
      return { begin, end: text.indexOf(end, begin) }
    }
    const free = [inside('createdAt', ','), inside('filter', ',"kind"'), inside('scope', ',"v"')]
    t.ok(unseen.length > 0)
    t.same(
      unseen.filter((at) => !free.some(({ begin, end }) => at >= begin && at < end)),
      [],
    )
  },
)
