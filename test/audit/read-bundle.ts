// Reads an audit bundle as a stranger would who has only the description of its form: the tar by tar-stream, tree, tiles, signatures and
// commitments by code that shares nothing with what wrote them. Throws with the first thing that is not as it should be.
import { createHash, createPublicKey, verify } from 'node:crypto'
import { Readable } from 'node:stream'
import canonicalize from 'canonicalize'
import { extract } from 'tar-stream'

const sha256 = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()

export interface BundleLine {
  index: number
  entry: string
  recordedAt: string
  disclosed: Record<string, { salt: string; value: unknown }>
}

export interface IndexLine {
  country: string | null
  ref: string
  n: number
  last: string
  place: number
  path: string[]
}

export interface ReadBundle {
  /** In the order of the tar. */
  members: Map<string, Buffer>
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever stands there
  manifest: any
  year: string
  size: number
  root: Buffer
  lines: BundleLine[]
  /** The lines of the index and what its index.root entry discloses. */
  index: { root: Buffer; size: number; lines: IndexLine[] } | undefined
}

/** Members by name, in their order. */
async function untar(bytes: Buffer): Promise<Map<string, Buffer>> {
  const reader = extract()
  Readable.from([bytes]).pipe(reader as unknown as NodeJS.WritableStream)
  const members = new Map<string, Buffer>()
  for await (const member of reader) {
    const parts: Buffer[] = []
    for await (const part of member as AsyncIterable<Buffer>) parts.push(part)
    if (members.has(member.header.name)) throw new Error(`${member.header.name} is there twice`)
    members.set(member.header.name, Buffer.concat(parts))
  }
  return members
}

/** Reads and checks a bundle of one year, all of it. */
export async function readBundle(bytes: Buffer): Promise<ReadBundle> {
  const members = await untar(bytes)
  const manifest = checkManifest(members)
  const [year = ''] = [...members.keys()].flatMap((name) => /^(\d{4})\/checkpoint$/.exec(name)?.[1] ?? [])
  const { size, root } = readCheckpoint(members, year)
  checkBrackets(members, { year, size })
  const tree = readTree(members, { year, size })
  if (!tree.subtree(0, size).equals(root)) throw new Error('the tiles do not lead to the root')
  const lines = readLines(members, year)
  for (const [place, line] of lines.entries()) {
    if (place > 0 && line.index <= (lines[place - 1]?.index ?? 0)) throw new Error('the entries are not in their order')
    if (!tree.leaf(line.index).equals(sha256(Buffer.of(0), Buffer.from(line.entry))))
      throw new Error(`${line.index} is another entry`)
    checkDisclosed(line)
  }
  if (manifest.entries !== lines.length) throw new Error('the manifest counts other entries')
  checkTileOrder([...members.keys()], year)
  return { members, manifest, year, size, root, lines, index: readIndex(members, { year, lines }) }
}

function checkManifest(members: Map<string, Buffer>) {
  if ([...members.keys()].at(-1) !== 'manifest.json') throw new Error('the manifest is not the last')
  const manifest = JSON.parse((members.get('manifest.json') as Buffer).toString())
  const held = [...members]
    .slice(0, -1)
    .map(([name, body]) => ({ bytes: body.length, name, sha256: sha256(body).toString('base64url') }))
  if (canonicalize(manifest.members) !== canonicalize(held)) throw new Error('the manifest names other members')
  return manifest
}

/** Size and root of a checkpoint whose signature verifies under the key of the policy in the bundle. */
function readCheckpoint(members: Map<string, Buffer>, year: string): { size: number; root: Buffer } {
  return readNote(members, (members.get(`${year}/checkpoint`) as Buffer).toString())
}

function readNote(members: Map<string, Buffer>, note: string): { size: number; root: Buffer } {
  const [text = '', signatures = ''] = note.split('\n\n')
  const [origin = '', size = '', root = ''] = text.split('\n')
  const keys = (members.get('policy.txt') as Buffer).toString().split('\n')
  const key =
    keys
      .find((line) => line.startsWith(`log ${origin}+`))
      ?.split('+')
      .slice(2)
      .join('+') ?? ''
  const signed =
    signatures
      .split('\n')
      .find((line) => line.startsWith(`— ${origin} `))
      ?.split(' ')[2] ?? ''
  const x = Buffer.from(key, 'base64').subarray(1).toString('base64url')
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
  if (!verify(null, Buffer.from(`${text}\n`), publicKey, Buffer.from(signed, 'base64').subarray(4)))
    throw new Error('the checkpoint is not signed by the log')
  return { size: Number(size), root: Buffer.from(root, 'base64') }
}

/** Checkpoints of this log right before the entries that they bound, ascending. */
function checkBrackets(members: Map<string, Buffer>, { year, size }: { year: string; size: number }): void {
  const names = [...members.keys()]
  for (const name of names.filter((each) => each.startsWith(`${year}/brackets/`))) {
    if (names[names.indexOf(name) + 1] !== name.replace('brackets', 'entries'))
      throw new Error('brackets stand beside no entries')
    const lines = (members.get(name) as Buffer).toString().slice(0, -1).split('\n')
    const notes = lines.map((line) => JSON.parse(line))
    if (notes.some((note, at) => canonicalize(note) !== lines[at])) throw new Error('a line of brackets is not canonical')
    const sizes = notes.map(({ note }) => readNote(members, note).size)
    if (sizes.some((each, at) => each <= (sizes[at - 1] ?? 0) || each >= size)) throw new Error('brackets are out of order')
  }
}

/** The tree as its tiles show it; every full tile is compared with the one above it. */
function readTree(members: Map<string, Buffer>, { year, size }: { year: string; size: number }) {
  const tile = (level: number, n: number): Buffer => {
    const width = Math.min(256, Math.floor(size / 256 ** level) - n * 256)
    const groups = `${n}`.padStart(Math.ceil(`${n}`.length / 3) * 3, '0').match(/\d{3}/g) as string[]
    const path = [...groups.slice(0, -1).map((group) => `x${group}`), groups.at(-1)].join('/')
    const hashes = members.get(`${year}/tile/${level}/${path}${width < 256 ? `.p/${width}` : ''}`)
    if (hashes?.length !== width * 32) throw new Error(`tile ${level}/${n} is not there`)
    return hashes
  }
  const hash = (level: number, n: number): Buffer =>
    tile(level, Math.floor(n / 256)).subarray((n % 256) * 32, (n % 256) * 32 + 32)
  // RFC 6962 §2.1, with whole subtrees of 256^level leaves read from a tile.
  const subtree = (begin: number, end: number): Buffer => {
    const leaves = end - begin
    const level = Math.round(Math.log2(leaves)) / 8
    if (leaves === 256 ** level && Number.isInteger(level) && begin % leaves === 0) return hash(level, begin / leaves)
    let split = 1
    while (split * 2 < leaves) split *= 2
    return sha256(Buffer.of(1), subtree(begin, begin + split), subtree(begin + split, end))
  }
  const climbed = new Set<string>()
  const climb = (level: number, n: number): void => {
    if (climbed.has(`${level}/${n}`)) return
    climbed.add(`${level}/${n}`)
    const hashes = tile(level, n)
    if (hashes.length < 256 * 32) return
    const nodes = Array.from({ length: 256 }, (_, at) => hashes.subarray(at * 32, at * 32 + 32))
    if (!rootOf(nodes).equals(hash(level + 1, n))) throw new Error(`tile ${level}/${n} is not what the tile above it says`)
    climb(level + 1, Math.floor(n / 256))
  }
  const leaf = (index: number): Buffer => {
    climb(0, Math.floor(index / 256))
    return hash(0, index)
  }
  return { leaf, subtree }
}

/** RFC 9162 §2.1.1. */
function rootOf(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0] as Buffer
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  return sha256(Buffer.of(1), rootOf(leaves.slice(0, split)), rootOf(leaves.slice(split)))
}

function readLines(members: Map<string, Buffer>, year: string): BundleLine[] {
  const names = [...members.keys()].filter((name) => name.endsWith('.ndjson') && name.includes('/entries/'))
  if (names.some((name, n) => name !== `${year}/entries/${String(n).padStart(6, '0')}.ndjson`))
    throw new Error('a chunk is missing')
  return names.flatMap((name) => {
    const texts = (members.get(name) as Buffer).toString().slice(0, -1).split('\n')
    if (texts.length > 1000) throw new Error('a chunk is too long')
    return texts.map((text) => {
      const line = JSON.parse(text) as BundleLine
      if (canonicalize(line) !== text) throw new Error('a line is not canonical')
      return line
    })
  })
}

function checkDisclosed({ entry, disclosed }: BundleLine): void {
  const { actor, payload } = JSON.parse(entry)
  for (const [name, { salt, value }] of Object.entries(disclosed)) {
    const opened = sha256(Buffer.from(salt, 'base64url'), Buffer.from(canonicalize(value) as string)).toString('base64url')
    if (opened !== { actor, ...payload }[name]) throw new Error(`the disclosed ${name} is not what the entry commits to`)
  }
}

/** Tiles above the leaves come first, from the top; each chunk comes behind the leaves that it needs. */
function checkTileOrder(names: readonly string[], year: string): void {
  const levels = names.flatMap((name) => new RegExp(`^${year}/tile/(\\d)/`).exec(name)?.[1] ?? [])
  if (levels.join() !== levels.toSorted().toReversed().join()) throw new Error('the tiles do not come from the top')
  const firstEntries = names.findIndex((name) => name.includes('/entries/'))
  const lastUpper = names.findLastIndex((name) => new RegExp(`^${year}/tile/[1-9]/`).test(name))
  if (firstEntries >= 0 && lastUpper > firstEntries) throw new Error('a tile above the leaves comes behind entries')
}

function readIndex(
  members: Map<string, Buffer>,
  { year, lines }: { year: string; lines: readonly BundleLine[] },
): ReadBundle['index'] {
  const text = members.get(`${year}/index.ndjson`)?.toString()
  if (text === undefined) return undefined
  const [first, ...rest] = text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line))
  const stated = lines.find(({ index }) => index === first.index)
  if (!stated || JSON.parse(stated.entry).event !== 'index.root') throw new Error('the entry of the index is not there')
  const root = Buffer.from(stated.disclosed.root?.value as string, 'base64url')
  const size = stated.disclosed.size?.value as number
  if (size !== first.size) throw new Error('the index has another size')
  for (const line of rest as IndexLine[])
    if (!rootOfLine(line, size).equals(root)) throw new Error('a line does not lead to the index')
  return { root, size, lines: rest as IndexLine[] }
}

function rootOfLine({ country, ref, n, last, place, path }: IndexLine, size: number): Buffer {
  const count = Buffer.alloc(8)
  count.writeUInt32BE(n, 4)
  const bytes = [Buffer.from(country ?? '\0\0'), Buffer.from(ref, 'base64url'), count, Buffer.from(last, 'base64url')]
  return climb(sha256(Buffer.of(0), ...bytes), { place, size, path: path.map((each) => Buffer.from(each, 'base64url')) })
}

function climb(leaf: Buffer, { place, size, path }: { place: number; size: number; path: Buffer[] }): Buffer {
  if (size === 1) return leaf
  let split = 1
  while (split * 2 < size) split *= 2
  const sibling = path.at(-1) ?? Buffer.alloc(0)
  const rest = path.slice(0, -1)
  return place < split
    ? sha256(Buffer.of(1), climb(leaf, { place, size: split, path: rest }), sibling)
    : sha256(Buffer.of(1), sibling, climb(leaf, { place: place - split, size: size - split, path: rest }))
}
