// Builds audit bundles for the verifier's tests with code of its own: a log in memory, real Ed25519 keys, two witnesses, a tar by tar-stream.
// Everything can be bent before it is put together, and put together again so that only the deeper checks can notice.
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto'
import canonicalize from 'canonicalize'
import { pack } from 'tar-stream'
import { cosignCheckpoint, signCheckpoint, verifierKeyOf } from '#crypto/checkpoint-note.ts'
import { formatNote, parseNote } from '#domain/signed-note.ts'
import { makeTable } from '#steps/entry-table.ts'
import type { BundleSource } from '#steps/read-bundle.ts'
import { type VerifyOptions, verifyBundle } from '#steps/verify-bundle.ts'

const sha256 = (...parts: Uint8Array[]): Buffer => {
  const digest = createHash('sha256')
  for (const part of parts) digest.update(part)
  return digest.digest()
}
const jcs = (value: unknown): string => canonicalize(value) as string
const b64u = (bytes: Buffer): string => bytes.toString('base64url')
export const leafOf = (entry: string): Buffer => sha256(Buffer.of(0), Buffer.from(entry))
const nodeOf = (left: Buffer, right: Buffer): Buffer => sha256(Buffer.of(1), left, right)

/** RFC 9162 §2.1.1 as it is written there. */
export function rootOf(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return sha256()
  if (leaves.length === 1) return leaves[0] as Buffer
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  return nodeOf(rootOf(leaves.slice(0, split)), rootOf(leaves.slice(split)))
}

function pathOf(leaves: readonly Buffer[], index: number): Buffer[] {
  if (leaves.length <= 1) return []
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  return index < split
    ? [...pathOf(leaves.slice(0, split), index), rootOf(leaves.slice(split))]
    : [...pathOf(leaves.slice(split), index - split), rootOf(leaves.slice(0, split))]
}

export interface Key {
  privateKey: KeyObject
  publicKey: KeyObject
}
export const newKey = (): Key => generateKeyPairSync('ed25519')

/** The keys of one log and its witnesses, and the policy that names them: both must have cosigned unless said otherwise. */
export function newNetwork({
  member = 'alpha',
  year = 2026,
  needed = 2,
}: {
  member?: string
  year?: number
  needed?: number
} = {}) {
  const origin = `${member}/audit/${year}`
  const log = newKey()
  const witnesses = ['beta', 'gamma'].map((name) => ({ name: `${name}/witness`, ...newKey() }))
  const policy = [
    `log ${verifierKeyOf(origin, 1, log.publicKey).text}`,
    ...witnesses.map(({ name, publicKey }) => `witness ${name} ${verifierKeyOf(name, 4, publicKey).text}`),
    `group quorum-group ${needed} ${witnesses.map(({ name }) => name).join(' ')}`,
    'quorum quorum-group\n',
  ].join('\n')
  return { origin, member, year, log, witnesses, policy }
}
export type Network = ReturnType<typeof newNetwork>

export interface Line {
  index: number
  entry: string
  recordedAt: string
  disclosed: Record<string, { salt: string; value: unknown }>
}

const start = Date.parse('2026-03-01T10:00:00.000Z')
const emptyRoot = b64u(sha256())

export interface EntryPlan {
  item: string
  event?: string
  values?: Record<string, unknown>
  /** Members of the entry that are bent. */
  bent?: Record<string, unknown>
}

/** A log that grows in memory: entries with chains, salts and what they have seen. */
export function growLog(network: Network, plans: readonly EntryPlan[], { seenEvery = 4 }: { seenEvery?: number } = {}): Line[] {
  const heads = new Map<string, { n: number; leaf: Buffer }>()
  const leaves: Buffer[] = []
  let seen = { root: emptyRoot, size: 0 }
  return plans.map(({ item, event = 'item.routed', values = { status: 'ok' }, bent = {} }, index) => {
    if (index > 0 && index % seenEvery === 0) seen = { root: b64u(rootOf(leaves)), size: leaves.length }
    const all: Record<string, unknown> = { actor: { kind: 'node' }, ...values }
    const disclosed = Object.fromEntries(
      Object.entries(all).map(([name, value]) => [name, { salt: b64u(sha256(Buffer.from(`${index} ${name}`))), value }]),
    )
    const commitments = Object.fromEntries(
      Object.entries(disclosed).map(([name, { salt, value }]) => [
        name,
        b64u(sha256(Buffer.from(salt, 'base64url'), Buffer.from(jcs(value)))),
      ]),
    )
    const { actor, ...payload } = commitments
    const head = heads.get(item)
    const entry = jcs({
      v: 1,
      log: network.origin,
      id: `018f0000-0000-7000-8000-${String(index).padStart(12, '0')}`,
      event,
      at: new Date(start + index * 1000).toISOString(),
      from: network.member,
      ref: refOf(item),
      n: (head?.n ?? 0) + 1,
      ...(head ? { prev: b64u(head.leaf) } : {}),
      seen,
      actor,
      payload,
      ...bent,
    })
    const leaf = leafOf(entry)
    leaves.push(leaf)
    heads.set(item, { n: (head?.n ?? 0) + 1, leaf })
    return { index, entry, recordedAt: new Date(start + index * 1000 + 5).toISOString(), disclosed }
  })
}

const refOf = (item: string): string => b64u(sha256(Buffer.from(`item ${item}`)))
const at = (afterS: number): Date => new Date(start + afterS * 1000)

/** A checkpoint over these leaves, signed and cosigned. */
export function signTree(
  network: Network,
  leaves: readonly Buffer[],
  by: { log?: Key; witnesses?: Network['witnesses']; afterS?: number } = {},
): string {
  const { log = network.log, witnesses = network.witnesses, afterS = leaves.length + 5 } = by
  const note = signCheckpoint({ origin: network.origin, size: leaves.length, root: rootOf(leaves) }, log.privateKey)
  const { text, signatures } = parseNote(note)
  const lines = witnesses.map(({ name, privateKey }) => cosignCheckpoint(text, { name, key: privateKey, at: at(afterS) }))
  return formatNote(text, [...signatures.map(({ line }) => line), ...lines])
}

/** All tiles of a tree, by the paths of C2SP tlog-tiles. */
function tilesOf(leaves: readonly Buffer[]): Map<string, Buffer> {
  const tiles = new Map<string, Buffer>()
  let hashes: readonly Buffer[] = leaves
  for (let level = 0; hashes.length > 0; level++) {
    const above: Buffer[] = []
    for (let n = 0; n * 256 < hashes.length; n++) {
      const part = hashes.slice(n * 256, n * 256 + 256)
      tiles.set(`tile/${level}/${tileName(n)}${part.length < 256 ? `.p/${part.length}` : ''}`, Buffer.concat(part))
      if (part.length === 256) above.push(rootOf(part))
    }
    hashes = above
  }
  return tiles
}

function tileName(n: number): string {
  const groups = [String(n % 1000).padStart(3, '0')]
  for (let rest = Math.floor(n / 1000); rest > 0; rest = Math.floor(rest / 1000))
    groups.unshift(`x${String(rest % 1000).padStart(3, '0')}`)
  return groups.join('/')
}

export type Members = Map<string, Buffer>
export const toLines = (values: readonly unknown[]): Buffer => Buffer.from(values.map((value) => `${jcs(value)}\n`).join(''))

/** The members of a bundle that holds these lines of a log, without its manifest. */
export function membersOf(
  network: Network,
  { lines, leaves, note, chunk = 1000 }: { lines: readonly Line[]; leaves: readonly Buffer[]; note?: string; chunk?: number },
): Members {
  const members: Members = new Map()
  members.set('policy.txt', Buffer.from(network.policy))
  members.set(`${network.year}/checkpoint`, Buffer.from(note ?? signTree(network, leaves)))
  const wanted = new Set(lines.map(({ index }) => Math.floor(index / 256)))
  for (const [path, bytes] of [...tilesOf(leaves)].reverse()) {
    const [, level, name] = /^tile\/([0-9])\/([^.]*)/.exec(path) as unknown as [string, string, string]
    const isWanted = level !== '0' || path.includes('.p/') || wanted.has(Number(name.replaceAll(/[x/]/g, '')))
    if (isWanted) members.set(`${network.year}/${path}`, bytes)
  }
  for (let n = 0; n * chunk < lines.length; n++)
    members.set(
      `${network.year}/entries/${String(n).padStart(6, '0')}.ndjson`,
      toLines(lines.slice(n * chunk, n * chunk + chunk)),
    )
  return members
}

/** The same with signed notes before each chunk of entries, one list for each. */
export function withBrackets(members: Members, brackets: readonly (readonly string[])[]): Members {
  const all: Members = new Map()
  for (const [name, bytes] of members) {
    const [, n] = /\/entries\/([0-9]{6})\.ndjson$/.exec(name) ?? []
    const notes = n === undefined ? [] : (brackets[Number(n)] ?? [])
    if (notes.length > 0) all.set(name.replace('entries', 'brackets'), toLines(notes.map((note) => ({ note }))))
    all.set(name, bytes)
  }
  return all
}

/** The same with a table beside each chunk of entries, as format csv has it. */
export function withTables(members: Members): Members {
  const tabled: Members = new Map()
  for (const [name, bytes] of members) {
    tabled.set(name, bytes)
    if (!name.endsWith('.ndjson') || name.endsWith('index.ndjson')) continue
    const lines = bytes.toString().split('\n').slice(0, -1)
    tabled.set(name.replace('.ndjson', '.csv'), Buffer.from(makeTable(lines.map((line) => JSON.parse(line)))))
  }
  return tabled
}

const countLines = (members: Members): number =>
  [...members]
    .filter(([name]) => /entries.*ndjson$/.test(name))
    .reduce((sum, [, bytes]) => sum + bytes.toString().split('\n').length - 1, 0)

/** The manifest that fits the members. `bent` changes it. */
export function manifestOf(members: Members, bent: Record<string, unknown> = {}): Buffer {
  const manifest: Record<string, unknown> = {
    v: 1,
    kind: 'crossline-audit-bundle',
    member: 'alpha',
    createdAt: '2026-03-02T00:00:00.000Z',
    filter: {},
    scope: { countries: ['AA'], members: [], networkWide: false },
    complete: 'none',
    entries: countLines(members),
    members: [...members].map(([name, bytes]) => ({ name, bytes: bytes.length, sha256: b64u(sha256(bytes)) })),
    ...bent,
  }
  // `digest: undefined` leaves it out.
  const digest = 'digest' in bent ? {} : { digest: b64u(sha256(Buffer.from(jcs(manifest)))) }
  return Buffer.from(`${jcs({ ...manifest, ...digest })}\n`)
}

export async function tarOf(members: Members): Promise<Buffer> {
  const tar = pack()
  for (const [name, bytes] of members) tar.entry({ name, mtime: new Date(0), mode: 0o600 }, bytes)
  tar.finalize()
  const blocks: Buffer[] = []
  for await (const block of tar as AsyncIterable<Buffer>) blocks.push(block)
  return Buffer.concat(blocks)
}

/** The whole bundle with a manifest that fits. */
export async function bundleOf(members: Members, bent: Record<string, unknown> = {}): Promise<Buffer> {
  return tarOf(new Map([...members, ['manifest.json', manifestOf(members, bent)]]))
}

export const sourceOf = (bytes: Buffer): BundleSource => ({
  size: bytes.length,
  read: (position, length) => bytes.subarray(position, position + length),
})

export function verify(bytes: Buffer, policy: string, options: Omit<VerifyOptions, 'policy'> = {}) {
  return verifyBundle(sourceOf(bytes), { policy: Buffer.from(policy), ...options })
}

/** The leaves of an index tree, sorted, and the lines for some of them. */
export function indexOf(items: readonly { item: string; country: string | null; lines: readonly Line[] }[]) {
  const leaves = items
    .map(({ item, country, lines }) => {
      const ref = Buffer.from(refOf(item), 'base64url')
      const own = lines.filter(({ entry }) => entry.includes(refOf(item)))
      const last = leafOf((own.at(-1) as Line).entry)
      const n = Buffer.alloc(8)
      n.writeBigUInt64BE(BigInt(own.length))
      const bytes = Buffer.concat([country === null ? Buffer.alloc(2) : Buffer.from(country), ref, n, last])
      return { item, country, ref: b64u(ref), n: own.length, last: b64u(last), bytes }
    })
    .sort((one, other) => Buffer.compare(one.bytes, other.bytes))
  const hashes = leaves.map(({ bytes }) => leafOf(bytes as unknown as string))
  const lineOf = (place: number) => {
    const { country, ref, n, last } = leaves[place] as (typeof leaves)[number]
    return { country, ref, n, last, place, path: pathOf(hashes, place).map(b64u) }
  }
  return {
    size: leaves.length,
    root: b64u(rootOf(hashes)),
    placeOf: (item: string) => leaves.findIndex((leaf) => leaf.item === item),
    lineOf,
  }
}
