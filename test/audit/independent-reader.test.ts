// Others' code reads our log: what a node serves over HTTP is checked by golang.org/x/mod (the reader of Go's checksum database) and by
// @sigstore/verify. Neither was written for us or by us: where they agree, nothing about tree, tiles, notes and proofs is of our own making.
import { spawnSync } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { verifyCheckpoint } from '@sigstore/verify/dist/tlog/checkpoint.js'
import { verifyMerkleInclusion } from '@sigstore/verify/dist/tlog/merkle.js'
import t from 'tap'
import { memberFiles } from '#commands/dev-files.ts'
import { auditKeyFile } from '#crypto/audit-keys.ts'
import { verifierKeyOf } from '#crypto/checkpoint-note.ts'
import { parseCheckpoint } from '#domain/checkpoint.ts'
import { parseNote, type VerifierKey } from '#domain/signed-note.ts'
import { createNetwork, eventually, type Network, reportOf } from '../network.ts'
import { admin, untilSealed, type View, zone } from './asking.ts'

const modules = join(import.meta.dirname, '..', '..', 'node_modules')
const program = join(import.meta.dirname, '..', 'independent', 'read-log.go')
const gopath = '/usr/share/gocode'
const folder = mkdtempSync(join(tmpdir(), 'crossline-reader-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

const network = await createNetwork(t, { zone, witnessRoundMs: 500 })
const gb = network.get('hotline-gb')
await submitAbroad(20)
const early = await checkpointOf(20)
await submitAbroad(60)
// Cosigned by the other member: what others' code makes of such a line is to be seen too.
const latest = await eventually('a larger checkpoint is cosigned', async () => {
  const read = await checkpointOf(257)
  return read.signatures > 1 && read.size % 256 > 1 && read
})
const served = await fetchLog()

interface Served {
  note: string
  size: number
  root: Buffer
  signatures: number
}

/** Really handed over: an entry of each step stands in the log. */
async function submitAbroad(count: number): Promise<void> {
  const items = Array.from({ length: count }, (_, n) => ({
    url: `https://abroad.example/${count}/${n}`,
    contentType: 'website',
  }))
  const { body } = await gb.call('hotline', 'POST', '/v1/reports', reportOf(items))
  await eventually('the items are handed over', async () => {
    const { rowCount } = await admin(gb, "select from crossline.item where report_id = $1 and state <> 'delivered'", [body.id])
    return rowCount === 0
  })
  await untilSealed(gb)
}

async function get(path: string): Promise<Buffer> {
  const answer = await gb.call('liaison', 'GET', `/audit/v1/${path}`)
  if (answer.status !== 200) throw new Error(`${path}: ${answer.text}`)
  return answer.bytes
}

async function checkpointOf(least: number): Promise<Served> {
  return eventually('there is such a checkpoint', async () => {
    const note = (await get('checkpoint')).toString()
    const { text, signatures } = parseNote(note)
    const { size, root } = parseCheckpoint(text)
    return size >= least && { note, size, root, signatures: signatures.length }
  })
}

/** Paths of all tiles of a tree with less than 65,536 leaves, as C2SP tlog-tiles names them. */
function tilePaths(size: number): string[] {
  const level = (number: number, count: number) =>
    Array.from({ length: Math.ceil(count / 256) }, (_, n) => {
      const width = Math.min(256, count - n * 256)
      return `tile/${number}/${String(n).padStart(3, '0')}${width < 256 ? `.p/${width}` : ''}`
    })
  return [...level(0, size), ...level(1, Math.floor(size / 256))]
}

/** All that a stranger may ask for, kept as it was served. */
async function fetchLog() {
  const keep = (name: string, bytes: Buffer | string) => {
    mkdirSync(dirname(join(folder, 'log', name)), { recursive: true })
    writeFileSync(join(folder, 'log', name), bytes)
  }
  const key = keyOf(network, 'hotline-gb')
  keep('key', key.text)
  keep('name', key.name)
  keep('raw.key', key.publicKey)
  keep('early', early.note)
  keep('checkpoint', latest.note)
  for (const path of new Set([...tilePaths(early.size), ...tilePaths(latest.size)])) keep(path, await get(path))
  const entries = await fetchEntries()
  keep('entries.json', JSON.stringify(entries))
  const inclusion = await fetchInclusion(entries)
  keep('inclusion.json', JSON.stringify(inclusion))
  const pairs = [[early.size, latest.size], [1, latest.size], [255, 256], [256, 257], [128, latest.size], [3, 7], [latest.size, latest.size]] // biome-ignore format: a table
  const consistency = await Promise.all(
    pairs.map(([first, second]) => getJson(`proof/consistency?first=${first}&second=${second}`)),
  )
  keep('consistency.json', JSON.stringify(consistency))
  return { entries, inclusion, consistency }
}

interface Inclusion {
  index: number
  size: number
  leaf: string
  path: string[]
}

async function getJson(path: string) {
  return JSON.parse((await get(path)).toString())
}

function keyOf({ folder: home }: Network, id: string): VerifierKey {
  const year = new Date().getUTCFullYear()
  return verifierKeyOf(`${id}/audit/${year}`, 1, createPublicKey(readFileSync(auditKeyFile(memberFiles(home, id).audit, year))))
}

async function fetchEntries(): Promise<Pick<View, 'index' | 'entry'>[]> {
  const entries: View[] = []
  for (let cursor = ''; ; ) {
    const page = await getJson(`entries?purpose=a+test&limit=1000${cursor}`)
    entries.push(...page.entries)
    if (page.entries.length < 1000) break
    cursor = `&cursor=${page.cursor}`
  }
  return entries.filter(({ index }) => index < latest.size).map(({ index, entry }) => ({ index, entry }))
}

async function fetchInclusion(entries: readonly Pick<View, 'index'>[]): Promise<Inclusion[]> {
  const some = [...entries.filter((_, n) => n % 7 === 0), ...entries.slice(-1)].map(({ index }) => [index, latest.size])
  const edges = [[0, 1], [0, early.size], [early.size - 1, early.size], [255, 256], [256, 257], [0, latest.size], [latest.size - 1, latest.size]] // biome-ignore format: a table
  return Promise.all([...some, ...edges].map(([index, size]) => getJson(`proof/inclusion?index=${index}&size=${size}`)))
}

/** The Go program as a binary; nothing when Go or x/mod is not on this machine. */
function buildReader(): string | undefined {
  if (!existsSync(join(gopath, 'src/golang.org/x/mod/sumdb/note'))) return undefined
  const binary = join(folder, 'read-log')
  const env = {
    PATH: process.env.PATH ?? '',
    HOME: folder,
    GOCACHE: join(modules, '.cache', 'go-build'),
    GOPATH: gopath,
    GO111MODULE: 'off',
    GOPROXY: 'off',
    GOTOOLCHAIN: 'local',
    GOFLAGS: '',
  }
  const built = spawnSync('go', ['build', '-o', binary, program], { env, encoding: 'utf8', timeout: 60_000 })
  if ((built.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return undefined
  if (built.status !== 0) throw new Error(built.stderr)
  return binary
}

function runReader(binary: string, from = join(folder, 'log')) {
  const { status, stdout, stderr } = spawnSync(binary, [from], { encoding: 'utf8', timeout: 30_000 })
  return { status, stderr, found: stdout ? JSON.parse(stdout) : undefined }
}

/** A copy of what was served in which one thing is otherwise. */
function changed(name: string, change: (bytes: Buffer) => Buffer | string): string {
  const copy = mkdtempSync(join(folder, 'changed-'))
  cpSync(join(folder, 'log'), copy, { recursive: true })
  writeFileSync(join(copy, name), change(readFileSync(join(copy, name))))
  return copy
}

const flip = (at: number) => (bytes: Buffer) => {
  const other = Buffer.from(bytes)
  other[at] = (other[at] ?? 0) ^ 1
  return other
}

/** Another first letter in something base64: its first byte is another one then. */
const otherText = (text: string) => `${text.startsWith('A') ? 'B' : 'A'}${text.slice(1)}`

// biome-ignore lint/suspicious/noExplicitAny: each of these is another kind of answer
const inJson = (change: (value: any) => void) => (bytes: Buffer) => {
  const value = JSON.parse(bytes.toString())
  change(value)
  return JSON.stringify(value)
}

const lineOf = (note: Buffer, name: string) => note.indexOf(`— ${name} `) + Buffer.byteLength(`— ${name} `)

const binary = buildReader() ?? ''
const skip = binary === '' && 'Go and golang.org/x/mod are not on this machine'
t.test('golang.org/x/mod reads the log and agrees', { skip }, async (t) => {
  const { status, stderr, found } = runReader(binary)
  t.equal(stderr, '')
  t.equal(status, 0)

  await t.test('agrees with notes, tiles, leaves and proofs as they were served', async (t) => {
    t.match(found, {
      origin: `hotline-gb/audit/${new Date().getUTCFullYear()}`,
      sizes: [early.size, latest.size],
      tiles: tilePaths(early.size).length + tilePaths(latest.size).length,
      entries: served.entries.length,
      inclusion: served.inclusion.length,
      consistency: served.consistency.length,
    })
    t.ok(served.entries.length > 256 && served.inclusion.length > 30, 'and it was much')
    t.ok(
      tilePaths(latest.size).some((path) => path.includes('.p/')),
      'a partial tile among them',
    )
  })

  await t.test('leaves the lines of witnesses aside, as it must with a key that it does not know', async (t) => {
    t.same(found.unknown, ['hotline-se/witness'])
  })

  const name = `hotline-gb/audit/${new Date().getUTCFullYear()}`
  const tiles = tilePaths(latest.size)
  const changes: [kind: string, file: string, why: RegExp, change: (bytes: Buffer) => Buffer | string][] = [
    ['the name in a key', 'name', /^key: /, flip(0)],
    ['a key', 'raw.key', /^key: /, flip(7)],
    ['the size in a checkpoint', 'checkpoint', /^checkpoint: /, flip(name.length + 1)],
    ['the root in a checkpoint', 'checkpoint', /^checkpoint: /, flip(`${name}\n${latest.size}\n`.length)],
    ['the origin in a checkpoint', 'checkpoint', /^checkpoint: /, flip(0)],
    ['the signature of a checkpoint', 'checkpoint', /^checkpoint: /, (note) => flip(lineOf(note, name) + 20)(note)],
    ['the earlier checkpoint', 'early', /^early: /, flip(name.length + 1)],
    ...tiles.map((path): (typeof changes)[number] => [`the tile ${path}`, path, /^tiles: /, flip(3)]),
    ['a tile of the earlier tree', tilePaths(early.size).at(-1) as string, /^tiles: /, flip(5)],
    ['an entry', 'entries.json', /^entries: /, inJson((entries) => (entries[200].entry = entries[200].entry.replace('"v":1', '"v":2')))],
    ['the place of an entry', 'entries.json', /^entries: /, inJson((entries) => entries[200].index--)],
    ['a node of an inclusion proof', 'inclusion.json', /^inclusion: /, inJson(([, proof]) => (proof.path[1] = otherText(proof.path[1])))],
    ['the leaf of an inclusion proof', 'inclusion.json', /^inclusion: /, inJson(([, proof]) => (proof.leaf = otherText(proof.leaf)))],
    ['the place of an inclusion proof', 'inclusion.json', /^inclusion: /, inJson(([, proof]) => proof.index++)],
    ['the length of an inclusion proof', 'inclusion.json', /^inclusion: /, inJson(([, proof]) => proof.path.push(proof.path[0]))],
    ['a node of a consistency proof', 'consistency.json', /^consistency: /, inJson(([proof]) => (proof.path[0] = otherText(proof.path[0])))],
    ['the first size of a consistency proof', 'consistency.json', /^consistency: /, inJson(([proof]) => proof.first--)],
  ] // biome-ignore format: a table
  for (const [kind, file, why, change] of changes)
    t.match(runReader(binary, changed(file, change)), { status: 1, stderr: why }, `refuses ${kind} with one byte changed`)
})

t.test('@sigstore/verify reads the log and agrees', async (t) => {
  const key = keyOf(network, 'hotline-gb')
  // Their name for a log that is trusted: by the key id that its lines begin with, its name, and its key.
  const trusted = {
    logID: key.keyId,
    baseURL: key.name,
    publicKey: createPublicKey(
      readFileSync(auditKeyFile(memberFiles(network.folder, 'hotline-gb').audit, new Date().getUTCFullYear())),
    ),
    validFor: { start: new Date(0), end: new Date(8.64e15) },
  }
  type Entry = Parameters<typeof verifyMerkleInclusion>[0]
  const entryOf = (proof: Inclusion, { entry = '', note = latest.note }: { entry?: string; note?: string }) =>
    ({
      canonicalizedBody: Buffer.from(entry),
      inclusionProof: {
        logIndex: String(proof.index),
        treeSize: String(proof.size),
        rootHash: Buffer.alloc(0),
        hashes: proof.path.map((each) => Buffer.from(each, 'base64')),
        checkpoint: { envelope: note },
      },
    }) as unknown as Entry
  const textOf = new Map(served.entries.map(({ index, entry }) => [index, entry]))
  const proofs = served.inclusion.filter(({ index, size }) => size === latest.size && textOf.has(index))
  const checkpoint = verifyCheckpoint(entryOf(proofs[0] as Inclusion, {}), [trusted])

  await t.test('agrees with the checkpoint', async (t) => {
    t.same([checkpoint.origin, checkpoint.logSize, checkpoint.logHash], [key.name, BigInt(latest.size), latest.root])
  })

  await t.test('and that each entry is where its proof says', async (t) => {
    for (const proof of proofs) verifyMerkleInclusion(entryOf(proof, { entry: textOf.get(proof.index) as string }), checkpoint)
    t.ok(proofs.length > 30, 'none was refused')
  })

  await t.test('refuses what was changed', async (t) => {
    const proof = proofs[3] as Inclusion
    const entry = textOf.get(proof.index) as string
    const refused = (what: string, other: Inclusion, text = entry) =>
      t.throws(
        () => verifyMerkleInclusion(entryOf(other, { entry: text }), checkpoint),
        { code: 'TLOG_INCLUSION_PROOF_ERROR' },
        what,
      )
    refused('an entry', proof, entry.replace('"v":1', '"v":2'))
    refused('a node', { ...proof, path: [otherText(proof.path[0] as string), ...proof.path.slice(1)] })
    refused('a place', { ...proof, index: proof.index + 1 })
    refused('a length', { ...proof, path: proof.path.slice(1) })
    const note = Buffer.from(latest.note)
    for (const at of [0, key.name.length + 1, `${key.name}\n${latest.size}\n`.length, lineOf(note, key.name) + 20])
      t.throws(
        () => verifyCheckpoint(entryOf(proof, { note: flip(at)(note).toString() }), [trusted]),
        { code: 'TLOG_INCLUSION_PROOF_ERROR' },
        `the checkpoint, at byte ${at}`,
      )
  })
})
