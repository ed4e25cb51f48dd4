// What an export, and `fsck`, put beside entries to say when they were written: a real log with a clock of the test's, witnesses with keys of
// their own. The verifier's verdict over the bundle is the measure.
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { cosignCheckpoint, verifierKeyOf } from '#crypto/checkpoint-note.ts'
import { parseCheckpoint } from '#domain/checkpoint.ts'
import type { HeldDirectory } from '#domain/held-directory.ts'
import { parseNote } from '#domain/signed-note.ts'
import { meetsQuorum, parsePolicy } from '#domain/tlog-policy.ts'
import { checkLog } from '#steps/check-log.ts'
import { choosePin, openPin } from '#steps/pin-export.ts'
import { verifyBundle } from '#steps/verify-bundle.ts'
import { writeExport } from '#steps/write-export.ts'
import { findBracketNotes } from '#storage/bracket-store.ts'
import { findLatestCheckpoint, type StoredCheckpoint } from '#storage/tree-store.ts'
import { insertCosignature } from '#storage/witness-store.ts'
import { sourceOf } from '../bundle.ts'
import { type OwnLog, openLog, tamper } from './own-log.ts'
import { readBundle } from './read-bundle.ts'

const names = ['hotline-fr', 'hotline-jp', 'hotline-se'] as const
type Name = (typeof names)[number]
const newWitness = () => generateKeyPairSync('ed25519')
const witnesses = Object.fromEntries(names.map((name) => [name, newWitness()])) as Record<Name, ReturnType<typeof newWitness>>
const keyName = (name: Name) => `${name}/witness`

/** The policy with these lines at its end; witnesses are named by their members. */
const policyOf = (log: OwnLog, ...groups: string[]) =>
  [
    `log ${verifierKeyOf('hotline-gb/audit/2026', 1, log.logKey).text}`,
    ...names.map((name) => `witness ${name} ${verifierKeyOf(keyName(name), 4, witnesses[name].publicKey).text}`),
    ...groups,
    '',
  ].join('\n')
const majority = ['group two 2 hotline-fr hotline-jp hotline-se', 'quorum two']

interface Cosigning {
  /** From the clock of the log. */
  afterS?: number
  key?: (typeof witnesses)[Name]
}

/** As a witness answers about the newest checkpoint. */
async function cosign(log: OwnLog, by: readonly Name[], { afterS = 0, key }: Cosigning = {}): Promise<void> {
  const { year, size, note } = (await findLatestCheckpoint(log.database.database)) as StoredCheckpoint
  const at = new Date(log.clock.now.getTime() + afterS * 1000)
  for (const name of by) {
    const line = cosignCheckpoint(parseNote(note).text, { name: keyName(name), key: (key ?? witnesses[name]).privateKey, at })
    await insertCosignature(log.database.database, { year, size, witness: keyName(name), line, cosignedAt: at })
  }
}

const wait = (log: OwnLog, seconds: number) => {
  log.clock.now = new Date(log.clock.now.getTime() + seconds * 1000)
}

function contextOf(log: OwnLog, auditPolicy: string) {
  const x = verifierKeyOf('hotline-gb/audit/2026', 1, log.logKey).publicKey.toString('base64url')
  return {
    self: 'hotline-gb',
    db: log.database.database,
    keys: log.keys,
    auditPolicy,
    auditKey: () => ({ key: log.logKey, kid: '', publicJwk: { kty: 'OKP' as const, crv: 'Ed25519' as const, x } }),
    directory: () => ({ findMember: () => undefined, auditKeys: () => [], peersOf: () => [] }) as unknown as HeldDirectory,
  }
}

/** What a liaison with the whole network in view gets now. */
async function exportLog(log: OwnLog, policy: string): Promise<Buffer> {
  const ctx = contextOf(log, policy)
  const pin = await choosePin(ctx)
  if (!pin) throw new Error('the log has no checkpoint')
  const plan = {
    scope: { networkWide: true, countries: [], members: [] },
    filter: {},
    format: 'ndjson' as const,
    client: undefined,
    pin: await openPin(ctx, pin),
    maxRows: 100_000,
    onProgress: async () => undefined,
  }
  const path = join(log.folder, `${pin.size}.tar`)
  await writeExport(ctx, path, { plan, asked: {}, createdAt: log.clock.now })
  return readFileSync(path)
}

const verify = (bytes: Buffer, policy: string) => verifyBundle(sourceOf(bytes), { policy: Buffer.from(policy) })

/** Entries, their checkpoint, and two witnesses under it: one round of a node. */
async function round(log: OwnLog, seal: () => Promise<void>, entries = 2): Promise<void> {
  await log.append('an item', entries)
  wait(log, 1)
  await seal()
  await cosign(log, ['hotline-fr', 'hotline-jp'])
  wait(log, 9)
}

/** The verifier's word on the export, and that of `fsck`, which must be the same. */
async function lookAt(t: Test, log: OwnLog, policy: string) {
  const bundle = verify(await exportLog(log, policy), policy)
  const own = await checkLog(contextOf(log, policy), () => undefined)
  t.equal(own.verdict, bundle.verdict, JSON.stringify(own.faults))
  t.match(own.faults, bundle.faults)
  return { bundle, own }
}

t.test('each entry of an honest log stands between the rounds of its witnesses', async (t) => {
  const log = await openLog(t)
  const { sealAll } = log.openProcess()
  for (let n = 0; n < 6; n++) await round(log, sealAll)
  const { bundle, own } = await lookAt(t, log, policyOf(log, ...majority))
  // The first round seals the entry that opens the shard, too.
  t.match(bundle, {
    verdict: 'valid',
    counts: { entries: 13, bracketed: 10, noEarlier: 3, unusedNotes: 0, widest: { seconds: 10 } },
  })
  t.match(own.counts, bundle.counts)
  const { members } = await readBundle(await exportLog(log, policyOf(log, ...majority)))
  const lines = members.get('2026/brackets/000000.ndjson')?.toString().split('\n') ?? []
  t.equal(lines.length - 1, 5, 'the last round is the checkpoint of the bundle')
  t.equal(verify(await exportLog(log, policyOf(log, 'quorum none')), policyOf(log, 'quorum none')).counts.bracketed, 0)
})

t.test('a log whose entries waited a minute to be sealed, with a witness whose clock is a minute ahead, holds', async (t) => {
  const log = await openLog(t)
  const { sealAll } = log.openProcess()
  await round(log, sealAll)
  await log.append('a new checkpoint')
  await sealAll()
  await log.append('waits')
  wait(log, 60)
  await cosign(log, ['hotline-fr', 'hotline-jp'], { afterS: 60 })
  await sealAll()
  await cosign(log, ['hotline-fr', 'hotline-jp'], { afterS: -60 })
  const { bundle } = await lookAt(t, log, policyOf(log, ...majority))
  t.match(bundle, { verdict: 'valid', counts: { entries: 5 } })
})

t.test('an entry that the node dated back an hour, all of it signed well, is told by the verifier and by fsck', async (t) => {
  const log = await openLog(t)
  const { sealAll } = log.openProcess()
  for (let n = 0; n < 3; n++) await round(log, sealAll)
  wait(log, -3600)
  await log.append('never happened then')
  wait(log, 3600)
  await round(log, sealAll)
  const policy = policyOf(log, ...majority)
  const { bundle, own } = await lookAt(t, log, policy)
  t.match(bundle, { verdict: 'tampered', faultCount: 1, faults: [{ stage: 'time', index: 7, says: /dated back/ }] })
  t.match(own.faults, [{ stage: 'time', index: 7 }])
  // Without the rounds before it nothing bounds it, and the verifier says so of each entry.
  await tamper(log, 'cosignature', 'delete from crossline.cosignature where size < 8')
  t.match(verify(await exportLog(log, policy), policy), { verdict: 'valid', counts: { bracketed: 0, noEarlier: 10 } })
})

t.test(
  'a selection has the checkpoints around its entries and no others, by the very policy, whoever cosigned when',
  async (t) => {
    const log = await openLog(t)
    const { sealAll } = log.openProcess()
    const subsets = Array.from({ length: 8 }, (_, n) => names.filter((_, at) => n & (1 << at)))
    const stored: { size: number; by: readonly Name[] }[] = []
    for (let n = 0; n < 40; n++) {
      await log.append('an item', 1 + (n % 3))
      await sealAll()
      const by = subsets[(n * 5 + Math.floor(n / 8)) % 8] as Name[]
      await cosign(log, by)
      // A key that the policy does not name has the name of one that it does.
      if (!by.includes('hotline-se')) await cosign(log, ['hotline-se'], { key: newWitness() })
      stored.push({ size: (await findLatestCheckpoint(log.database.database))?.size ?? 0, by })
      wait(log, 10)
    }
    const last = stored.at(-1)?.size ?? 0
    const selections = [[0], [last - 1], [3, 30, 31, 32, 70], Array.from({ length: last }, (_, n) => n), [...stored.keys()]]
    const policies = [
      majority,
      ['quorum hotline-jp'],
      ['group others any hotline-jp hotline-se', 'group both all hotline-fr others', 'quorum both'],
      ['group all 3 hotline-fr hotline-jp hotline-se', 'quorum all'],
    ]
    for (const groups of policies) {
      const policy = parsePolicy(policyOf(log, ...groups))
      for (const before of [last, last - 20]) {
        const witnessed = stored
          .filter(({ size, by }) => size < before && meetsQuorum(policy, new Set(by)))
          .map(({ size }) => size)
        for (const indexes of selections) {
          const wanted = indexes.flatMap((at) => [
            witnessed.findLast((size) => size <= at) ?? [],
            witnessed.find((size) => size > at) ?? [],
          ])
          const notes = await findBracketNotes(log.database.database, { year: 2026, policy, indexes, before })
          const sizes = notes.map((note) => parseCheckpoint(parseNote(note).text).size)
          t.same(
            sizes,
            [...new Set(wanted.flat())].sort((one, other) => one - other),
            `${groups.at(-1)}, ${indexes.length} entries`,
          )
        }
      }
    }
    const nothing = { year: 2026, policy: parsePolicy(policyOf(log, ...majority)), indexes: [], before: last }
    t.same(await findBracketNotes(log.database.database, nothing), [])
  },
)
