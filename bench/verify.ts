// How many entries a second the offline verifier checks on one core, all of audit.md's checks: a synthetic log, whole, once with nothing
// disclosed and once with four fields of each entry. Beside it the floor: hashing the same leaves and nodes and nothing else. Prints JSON.
import { hash } from 'node:crypto'
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { cosignCheckpoint, signCheckpoint } from '#crypto/checkpoint-note.ts'
import { buildEntry, type Committed, toJcs } from '#domain/audit-entry.ts'
import { leafHash, merkleRoot } from '#domain/merkle.ts'
import { growEdge, type RightEdge, rootOfEdge } from '#domain/right-edge.ts'
import { formatNote, parseNote } from '#domain/signed-note.ts'
import { newTiles, tilePath } from '#domain/tiles.ts'
import { verifyBundle } from '#steps/verify-bundle.ts'
import { type Members, manifestOf, newNetwork, sourceOf, tarOf } from '../test/bundle.ts'

const { values: given } = parseArgs({
  options: { entries: { type: 'string', default: '200000' }, rounds: { type: 'string', default: '3' } },
})
const count = Number(given.entries)
const network = newNetwork()
const start = Date.parse('2026-03-01T10:00:00.000Z')

const closed = await measure(false)
const disclosed = await measure(true)
const floor = measureFloor()
console.log(
  JSON.stringify(
    {
      bench: 'verify',
      entries: count,
      cores: cpus().length,
      load: loadavg()[0],
      node: process.version,
      closed,
      disclosed,
      floor,
    },
    undefined,
    2,
  ),
)

async function measure(withValues: boolean): Promise<object> {
  const bytes = await buildBundle(withValues)
  const policy = Buffer.from(network.policy)
  const seconds: number[] = []
  for (let round = 0; round < Number(given.rounds); round++) {
    const from = performance.now()
    const { verdict, faults } = verifyBundle(sourceOf(bytes), { policy })
    seconds.push((performance.now() - from) / 1000)
    if (verdict !== 'valid') throw new Error(`the synthetic bundle is ${verdict}: ${JSON.stringify(faults)}`)
  }
  const best = Math.min(...seconds)
  return {
    bytesPerEntry: Math.round(bytes.length / count),
    entriesPerSecond: Math.round(count / best),
    rounds: seconds.map((each) => Math.round(count / each)),
    rssMiB: Math.round(process.memoryUsage().rss / 2 ** 20),
  }
}

/** What hashing alone would allow: each leaf and each node once. */
function measureFloor(): object {
  const entry = Buffer.alloc(640, 'a')
  const leaves: Buffer[] = []
  const from = performance.now()
  for (let n = 0; n < count; n++) leaves.push(leafHash(entry))
  merkleRoot(leaves)
  return { entriesPerSecond: Math.round(count / ((performance.now() - from) / 1000)) }
}

/** Five entries for each item, a checkpoint seen every 500 entries. */
async function buildBundle(withValues: boolean): Promise<Buffer> {
  const heads = new Map<number, { n: number; leaf: Buffer }>()
  const members: Members = new Map([['policy.txt', Buffer.from(network.policy)]])
  const leaves: Buffer[] = []
  const lines: string[] = []
  let edge: RightEdge = { size: 0, hashes: [] }
  let seen = { size: 0, root: rootOfEdge(edge).toString('base64url') }
  for (let index = 0; index < count; index++) {
    if (index % 500 === 0 && index > 0) {
      edge = growEdge(edge, leaves.slice(edge.size))
      seen = { size: index, root: rootOfEdge(edge).toString('base64url') }
    }
    const item = Math.floor(index / 10) * 2 + (index % 2)
    const head = heads.get(item)
    const at = new Date(start + index)
    const payload = {
      status: commitTo('stored', index),
      evidence: commitTo({ rule: 'agreed', countries: ['AA'] }, index),
      country: commitTo('AA', index),
    }
    const actor = commitTo({ kind: 'node' }, index)
    const facts = {
      log: network.origin,
      id: `018f0000-0000-7000-8000-${String(index).padStart(12, '0')}`,
      event: 'item.routed' as const,
      at,
      from: 'alpha',
      to: 'beta',
    }
    const { bytes, leaf } = buildEntry(
      { ...facts, ref: hash('sha256', `${item}`, 'buffer'), n: (head?.n ?? 0) + 1, prev: head?.leaf, seen },
      actor,
      payload,
    )
    heads.set(item, { n: (head?.n ?? 0) + 1, leaf })
    leaves.push(leaf)
    lines.push(
      `${toJcs({ index, entry: bytes.toString(), recordedAt: at.toISOString(), disclosed: withValues ? open({ actor, ...payload }) : {} })}\n`,
    )
    if (lines.length === 1000 || index === count - 1) {
      members.set(
        `${network.year}/entries/${String(Math.floor(index / 1000)).padStart(6, '0')}.ndjson`,
        Buffer.from(lines.join('')),
      )
      lines.length = 0
    }
  }
  const note = sign(growEdge(edge, leaves.slice(edge.size)))
  const ordered: Members = new Map([...members, [`${network.year}/checkpoint`, Buffer.from(note)], ...tilesOf(leaves)])
  return tarOf(new Map([...ordered, ['manifest.json', manifestOf(ordered, { complete: 'log', entries: count })]]))
}

function commitTo(value: unknown, index: number): Committed {
  return { salt: hash('sha256', `${index} ${String(value)}`, 'buffer'), value }
}

function open(fields: Record<string, Committed>): object {
  const shown = Object.entries(fields).map(([name, { salt, value }]) => [name, { salt: salt.toString('base64url'), value }])
  return Object.fromEntries(shown)
}

function sign(edge: RightEdge): string {
  const signed = parseNote(
    signCheckpoint({ origin: network.origin, size: edge.size, root: rootOfEdge(edge) }, network.log.privateKey),
  )
  const lines = network.witnesses.map(({ name, privateKey }) =>
    cosignCheckpoint(signed.text, { name, key: privateKey, at: new Date(start + count + 1000) }),
  )
  return formatNote(signed.text, [...signed.signatures.map(({ line }) => line), ...lines])
}

function tilesOf(leaves: readonly Buffer[]): Members {
  const grown = newTiles(0, leaves, () => Buffer.alloc(0))
  return new Map(
    grown.map(({ level, index, hashes }) => [`${network.year}/${tilePath({ level, index, width: hashes.length / 32 })}`, hashes]),
  )
}
