// A stranger's reader of the log: RFC 6962 by its recursive definitions, C2SP's notes, checkpoints, tiles and proofs by their texts, written
// here and nowhere else. It asks a running node over HTTP and agrees with everything that it is given.
import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { memberFiles } from '#commands/dev-files.ts'
import { auditKeyFile } from '#crypto/audit-keys.ts'
import { createNetwork, eventually, type Network, type RunningMember } from '../network.ts'
import { admin, custodyOf, submitAll, untilSealed, zone } from './asking.ts'

const sha256 = (...parts: Uint8Array[]): Buffer => hash('sha256', Buffer.concat(parts), 'buffer')
const year = new Date().getUTCFullYear()

// RFC 6962 §2.1: k is the largest power of two smaller than n.
function splitOf(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

/** A tree as RFC 6962 defines it, over its leaf hashes. */
function createTree(leaves: readonly Buffer[]) {
  const known = new Map<string, Buffer>()
  // MTH(D[begin:end])
  const mth = (begin: number, end: number): Buffer => {
    if (end - begin === 1) return leaves[begin] as Buffer
    const name = `${begin}:${end}`
    const held = known.get(name)
    if (held) return held
    const middle = begin + splitOf(end - begin)
    const made = sha256(Buffer.of(1), mth(begin, middle), mth(middle, end))
    known.set(name, made)
    return made
  }
  // §2.1.1: PATH(m, D[n])
  const path = (m: number, begin: number, end: number): Buffer[] => {
    if (end - begin === 1) return []
    const middle = begin + splitOf(end - begin)
    return m < middle ? [...path(m, begin, middle), mth(middle, end)] : [...path(m, middle, end), mth(begin, middle)]
  }
  // §2.1.2: SUBPROOF(m, D[n], b)
  const subproof = (m: number, [begin, end]: [number, number], isWhole: boolean): Buffer[] => {
    if (m === end) return isWhole ? [] : [mth(begin, end)]
    const middle = begin + splitOf(end - begin)
    if (m <= middle) return [...subproof(m, [begin, middle], isWhole), mth(middle, end)]
    return [...subproof(m, [middle, end], false), mth(begin, middle)]
  }
  return {
    rootOf: (size: number) => mth(0, size),
    subtree: mth,
    pathTo: (m: number, size: number) => path(m, 0, size),
    proofFrom: (m: number, size: number) => subproof(m, [0, size], true),
  }
}

/** C2SP tlog-tiles: the path of a tile, its index in groups of three digits. */
function pathOfTile(level: number, index: number, width = 256): string {
  const groups: string[] = []
  for (let rest = index; groups.length === 0 || rest > 0; rest = Math.floor(rest / 1000))
    groups.unshift(String(rest % 1000).padStart(3, '0'))
  const path = groups.map((group, place) => (place < groups.length - 1 ? `x${group}` : group)).join('/')
  return `tile/${level}/${path}${width < 256 ? `.p/${width}` : ''}`
}

interface Read {
  origin: string
  size: number
  root: Buffer
  text: string
  signatures: { name: string; id: Buffer; bytes: Buffer }[]
}

/** C2SP signed-note and tlog-checkpoint. */
function readCheckpoint(note: string): Read {
  const [, text = '', lines = ''] = /^([\s\S]*?\n)\n([\s\S]+)$/.exec(note) ?? []
  const [origin = '', size = '', root = '', ...none] = text.split('\n')
  if (none.join('') !== '' || !lines.endsWith('\n')) throw new Error('not a checkpoint')
  const signatures = lines
    .slice(0, -1)
    .split('\n')
    .map((line) => {
      const [, name = '', encoded = ''] = /^\u2014 (\S+) (\S+)$/.exec(line) ?? []
      const bytes = Buffer.from(encoded, 'base64')
      return { name, id: bytes.subarray(0, 4), bytes: bytes.subarray(4) }
    })
  return { origin, size: Number(size), root: Buffer.from(root, 'base64'), text, signatures }
}

/** The public half of a member's key, from its file, as the raw 32 bytes too. */
function auditKeyOf(network: Network, id: string): { key: KeyObject; raw: Buffer } {
  const key = createPublicKey(readFileSync(auditKeyFile(memberFiles(network.folder, id).audit, year)))
  return { key, raw: Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url') }
}

/** Whether a key signed the checkpoint: as a log (type 1), or as a witness (type 4, cosignature/v1). */
function isSigned(
  { text, signatures }: Read,
  { key, raw }: { key: KeyObject; raw: Buffer },
  { name, type }: { name: string; type: 1 | 4 },
) {
  const id = sha256(Buffer.from(`${name}\n`), Buffer.of(type), raw).subarray(0, 4)
  const own = signatures.find((each) => each.name === name && each.id.equals(id))
  if (!own) return false
  if (type === 1) return verify(null, Buffer.from(text), key, own.bytes)
  const time = own.bytes.readBigUInt64BE(0)
  return verify(null, Buffer.from(`cosignature/v1\ntime ${time}\n${text}`), key, own.bytes.subarray(8))
}

const get = (member: RunningMember, path: string, headers: Record<string, string> = {}) =>
  member.call('liaison', 'GET', `/audit/v1/${path}`, undefined, headers)

async function hashesOf(member: RunningMember, path: string): Promise<Buffer[]> {
  const answer = await get(member, path)
  if (answer.status !== 200) throw new Error(`${path}: ${answer.text}`)
  return Array.from({ length: answer.bytes.length / 32 }, (_, n) => answer.bytes.subarray(n * 32, n * 32 + 32))
}

/** Every hash of one level of a tree of this size. */
async function readLevel(member: RunningMember, level: number, size: number): Promise<Buffer[]> {
  const count = Math.floor(size / 256 ** level)
  const all: Buffer[] = []
  for (let index = 0; index * 256 < count; index++) {
    const width = Math.min(256, count - index * 256)
    const hashes = await hashesOf(member, pathOfTile(level, index, width))
    if (hashes.length !== width) throw new Error('a tile of another width')
    all.push(...hashes)
  }
  return all
}

/** Many entries of nobody's, in the form that the sealer asks for. */
async function fill(member: RunningMember, count: number): Promise<void> {
  await admin(
    member,
    `insert into crossline.audit_entry (event, item_ref, item_seq, entry)
     select 'report.submitted', sha256(n::text::bytea), 1, convert_to(format('{"at":"${year}-01-01T00:00:00.000Z","event":"report.submitted","id":"%s","log":"${member.id}/audit/${year}"}', n), 'UTF8')
     from generate_series(1, $1::int) n`,
    [count],
  )
  await untilSealed(member)
}

t.test('the log of a node, as a stranger reads it', async (t) => {
  const network = await createNetwork(t, { zone, witnessRoundMs: 500 })
  const gb = network.get('hotline-gb')
  const items = await submitAll(gb)
  await untilSealed(gb)
  const early = readCheckpoint((await get(gb, 'checkpoint')).text)
  await fill(gb, 66_000)
  const latest = await eventually('a checkpoint is cosigned', async () => {
    const read = readCheckpoint((await get(gb, 'checkpoint')).text)
    return read.size > 66_000 && read.signatures.length === 2 ? read : undefined
  })
  const leaves = await readLevel(gb, 0, latest.size)
  const tree = createTree(leaves)

  await t.test('signs checkpoints as a log, which its peer cosigns', async (t) => {
    const answer = await get(gb, 'checkpoint')
    t.match(answer.headers, { 'content-type': /^text\/plain/, 'cache-control': 'no-store' })
    t.equal(latest.origin, `hotline-gb/audit/${year}`)
    t.ok(isSigned(latest, auditKeyOf(network, 'hotline-gb'), { name: latest.origin, type: 1 }))
    t.ok(isSigned(latest, auditKeyOf(network, 'hotline-se'), { name: 'hotline-se/witness', type: 4 }))
    t.notOk(isSigned(latest, auditKeyOf(network, 'hotline-se'), { name: latest.origin, type: 1 }), 'nobody else can')
    t.match(await get(gb, `log/${year}/checkpoint`), { status: 200 }, 'under the prefix of its year too')
  })

  await t.test('gives tiles whose hashes are the tree of RFC 6962', async (t) => {
    t.ok(tree.rootOf(latest.size).equals(latest.root), 'the leaves lead to the signed root')
    t.ok(tree.rootOf(early.size).equals(early.root), 'and to the earlier one')
    for (const level of [1, 2]) {
      const span = 256 ** level
      const hashes = await readLevel(gb, level, latest.size)
      t.equal(hashes.length, Math.floor(latest.size / span))
      const wrong = hashes.filter((each, n) => !each.equals(tree.subtree(n * span, (n + 1) * span)))
      t.equal(wrong.length, 0, `level ${level}`)
    }
    const own = await admin(
      gb,
      'select e.entry, l.leaf_index::int as index from crossline.audit_leaf l join crossline.audit_entry e on e.id = l.entry_id where leaf_index < 40',
    )
    for (const { entry, index } of own.rows)
      t.ok(leaves[index]?.equals(sha256(Buffer.of(0), entry)), 'a leaf is the hash of its entry')
  })

  await t.test('proves that leaves are in it', (t) => readInclusion(t, { gb, tree, leaves, latest, early }))
  await t.test('proves that it only grew', (t) => readConsistency(t, { gb, tree, latest, early }))

  await t.test('proves each line of a custody', async (t) => {
    const { body } = await custodyOf(gb, items.abroad)
    const [{ proof }] = body.lines
    const now = createTree(await readLevel(gb, 0, proof.size))
    for (const { index, entry } of body.lines) {
      const answer = (await get(gb, `proof/inclusion?index=${index}&size=${proof.size}`)).body
      t.equal(answer.leaf, sha256(Buffer.of(0), Buffer.from(entry)).toString('base64'))
      t.same(answer.path, base64(now.pathTo(index, proof.size)))
    }
    t.ok(body.lines.length >= 4)
  })

  await t.test('says how long tiles may be kept', async (t) => {
    const full = await get(gb, pathOfTile(0, 0))
    t.match(full.headers, { 'content-type': 'application/octet-stream', 'cache-control': 'private, immutable, max-age=31536000' })
    const partial = await get(gb, pathOfTile(2, 0, 1))
    t.match(partial, { status: 200, headers: { 'cache-control': 'no-store' } })
    t.equal(partial.bytes.length, 32)
  })

  await t.test('refuses what it never signed, and what is no path', async (t) => {
    const paths = [
      pathOfTile(0, 9999), // not there yet
      pathOfTile(0, 0, 255), // at no checkpoint
      pathOfTile(3, 0),
      'tile/0/0',
      'tile/0/x000/001',
      'tile/0/000.p/256',
      'tile/0/000.p/0',
      'tile/00/000',
      'tile/7/000',
      'tile/0/-01',
      'tile/0/000/',
      'tile/entries/000', // which entries a liaison sees is a matter of scope
      'log/2001/checkpoint',
      'log/2001/tile/0/000',
      'log/2001/proof/inclusion?index=0',
    ]
    for (const path of paths) t.match(await get(gb, path), { status: 404, body: { code: 'not_found' } }, path)
    t.match(await gb.call('hotline', 'GET', '/audit/v1/checkpoint'), { status: 403, body: { code: 'role_forbidden' } })
    const { rowCount } = await admin(gb, "select from crossline.audit_entry where event = 'audit.queried'")
    t.equal(rowCount, 1, 'only the custody was a question: hashes tell of nobody')
  })
})

interface Asked {
  gb: RunningMember
  tree: ReturnType<typeof createTree>
  latest: Read
  early: Read
}

const base64 = (hashes: readonly Buffer[]) => hashes.map((each) => each.toString('base64'))

async function readInclusion(t: Test, { gb, tree, leaves, latest, early }: Asked & { leaves: readonly Buffer[] }): Promise<void> {
  const sizes = [latest.size, early.size, 256, 257, 1, 2, 3, 65_536, 65_537, 66_001]
  for (const size of sizes) {
    for (const index of new Set([0, 1, size - 1, size >> 1, 255, 256, 65_535].filter((each) => each < size))) {
      const { body, status } = await get(gb, `proof/inclusion?index=${index}&size=${size}`)
      const expected = {
        log: latest.origin,
        index,
        size,
        leaf: base64([leaves[index] as Buffer])[0],
        root: base64([tree.rootOf(size)])[0],
      }
      const { checkpoint, path, ...rest } = body
      if (status !== 200) t.fail(JSON.stringify(body))
      t.strictSame(rest, expected)
      t.strictSame(path, base64(tree.pathTo(index, size)), `${index} of ${size}`)
      if (checkpoint !== null) t.equal(readCheckpoint(checkpoint).size, size)
    }
  }
  const text = await get(gb, `proof/inclusion?index=7&size=${latest.size}`, { accept: 'text/plain' })
  const [head, note] = [text.text.slice(0, text.text.indexOf('\n\n')), text.text.slice(text.text.indexOf('\n\n') + 2)]
  t.strictSame(head.split('\n'), ['c2sp.org/tlog-proof@v1', 'index 7', ...base64(tree.pathTo(7, latest.size))], 'C2SP tlog-proof')
  t.strictSame(readCheckpoint(note).root, latest.root)
  t.match(
    await get(gb, 'proof/inclusion?index=0&size=255', { accept: 'text/plain' }),
    { status: 404 },
    'no checkpoint has that size',
  )
  t.match((await get(gb, 'proof/inclusion?index=0')).body.size >= latest.size, true, 'the newest by default')
  const wrong: [string, number, string, string?][] = [
    ['index=0&size=0', 422, 'schema_invalid', '/query/size'],
    ['index=5&size=5', 422, 'schema_invalid', '/query/index'],
    ['index=9007199254740992', 422, 'schema_invalid', '/query/index'],
    ['index=0&size=9007199254740993', 422, 'schema_invalid', '/query/size'],
    ['index=0&size=9007199254740991', 404, 'not_found'],
    ['index=-1', 422, 'schema_invalid'],
    ['index=1e3', 422, 'schema_invalid'],
    ['index=01', 422, 'schema_invalid'],
    ['index=0x1', 422, 'schema_invalid'],
    ['', 422, 'schema_invalid'],
    ['index=0&more=1', 422, 'schema_invalid'],
  ]
  for (const [query, status, code, pointer] of wrong)
    t.match(
      await get(gb, `proof/inclusion?${query}`),
      { status, body: { code, ...(pointer && { pointer }) } },
      query || 'nothing',
    )
}

async function readConsistency(t: Test, { gb, tree, latest, early }: Asked): Promise<void> {
  const pairs = [[early.size, latest.size], [1, latest.size], [1, 1], [1, 2], [6, 8], [255, 256], [256, 257], [256, 65_536], [65_536, 65_537], [777, 60_001], [latest.size, latest.size]] // biome-ignore format: a table
  for (const [first = 0, second = 0] of pairs) {
    const { body } = await get(gb, `proof/consistency?first=${first}&second=${second}`)
    const { checkpoint: _note, ...rest } = body
    t.strictSame(
      rest,
      {
        log: latest.origin,
        first,
        firstRoot: base64([tree.rootOf(first)])[0],
        second,
        secondRoot: base64([tree.rootOf(second)])[0],
        path: base64(tree.proofFrom(first, second)),
      },
      `${first} to ${second}`,
    )
  }
  const text = (await get(gb, `proof/consistency?first=${early.size}&second=${latest.size}`, { accept: 'text/plain' })).text
  const [head, note] = [text.slice(0, text.indexOf('\n\n')), text.slice(text.indexOf('\n\n') + 2)]
  t.strictSame(
    head.split('\n'),
    [`old ${early.size}`, ...base64(tree.proofFrom(early.size, latest.size))],
    'as a witness is asked',
  )
  t.strictSame(readCheckpoint(note).root, latest.root)
  const wrong: [string, number, string][] = [
    ['first=0', 422, '/query/first'],
    ['first=5&second=4', 422, '/query/first'],
    ['first=1&second=0', 422, '/query/second'],
    ['first=9007199254740992', 422, '/query/first'],
    ['first=1&second=9007199254740991', 404, ''],
    ['second=4', 422, '/query/first'],
  ]
  for (const [query, status, pointer] of wrong)
    t.match(await get(gb, `proof/consistency?${query}`), { status, body: pointer ? { pointer } : {} }, query)
}
