// Two hotlines over a year's end: each year's log is signed and cosigned under a key of its own, and one bundle over both verifies whole
// with the policy that follows from the directory, also when the old key has been retired.
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { memberFiles } from '#commands/dev-files.ts'
import { auditKeyFile, findAuditKeyFiles } from '#crypto/audit-keys.ts'
import { type AuditKey, readAuditKey } from '#crypto/keys.ts'
import { type HeldDirectory, holdDirectory } from '#domain/held-directory.ts'
import { makeVerifierKey } from '#domain/signed-note.ts'
import type { Member, MemberKey, Root } from '#schema/directory.ts'
import { policyOf } from '#steps/audit-policy.ts'
import { verify } from '../bundle.ts'
import { createNetwork, eventually, type RunningMember, reportOf } from '../network.ts'
import { readDirectory } from '../peer.ts'
import { admin, zone } from './asking.ts'

const year = new Date().getUTCFullYear()
const newYear = Date.UTC(year + 1, 0, 1)
let offsetMs = 0
const now = () => new Date(Date.now() + offsetMs)
offsetMs = newYear - 120_000 - Date.now()
const network = await createNetwork(t, { zone, witnessRoundMs: 200, now, officeNow: now })
const [gb, se] = [network.get('hotline-gb'), network.get('hotline-se')]

/** The office publishes what became of the keys, and both nodes hold it. */
async function publishKeys(change: (key: MemberKey) => MemberKey): Promise<void> {
  const listed = new Map(readDirectory(network.folder).document.members.map(({ id, keys }: Member) => [id, keys.map(change)]))
  await network.publish(({ members }) => {
    for (const member of members) member.keys = listed.get(member.id) as MemberKey[]
  })
  const { version } = held()
  await eventually('both nodes hold it', async () => {
    const status = await Promise.all([gb, se].map((member) => member.call('operator', 'GET', '/operations/v1/status')))
    return status.every(({ body }) => body.directory.version === version)
  })
}

const held = (): HeldDirectory => holdDirectory({ ...readDirectory(network.folder), root: {} as Root })

/** A handoff, and until the year's last checkpoint at both is cosigned. */
async function handOver(name: string, ofYear: number): Promise<void> {
  const items = [{ url: `https://abroad.example/${name}`, contentType: 'website' }]
  const { status, text } = await gb.call('hotline', 'POST', '/v1/reports', reportOf(items))
  if (status !== 201) throw new Error(text)
  for (const member of [gb, se]) await untilCosigned(member, ofYear)
}

async function untilCosigned(member: RunningMember, ofYear: number): Promise<void> {
  await eventually(`all of ${ofYear} is cosigned at ${member.id}`, async () => {
    const { rows } = await admin(
      member,
      `select (select count(*) from crossline.item where state <> 'delivered') as open,
         exists (select from crossline.audit_shard s join crossline.cosignature c on c.year = s.year and c.size = s.size where s.year = $1) as cosigned`,
      [ofYear],
    )
    return rows[0].open === '0' && rows[0].cosigned
  })
}

/** Names and key ids under the newest checkpoint of a year, once a witness has signed it too: who cosigns makes an entry, so logs go on growing. */
async function signersOf(member: RunningMember, ofYear: number): Promise<string[]> {
  return eventually(`the newest checkpoint of ${ofYear} is cosigned`, async () => {
    const { text } = await member.call('liaison', 'GET', `/audit/v1/log/${ofYear}/checkpoint`)
    const lines = [...text.matchAll(/^— (\S+) (\S+)$/gm)]
    return (
      lines.length === 2 &&
      lines.map(([, name = '', bytes = '']) => `${name}+${Buffer.from(bytes, 'base64').subarray(0, 4).toString('hex')}`)
    )
  })
}

async function exportAll(member: RunningMember): Promise<Buffer> {
  const ordered = await member.call('liaison', 'POST', '/audit/v1/exports', { purpose: 'a test' })
  const place = `/audit/v1/exports/${ordered.body.id}`
  await eventually('the export is done', async () => (await member.call('liaison', 'GET', place)).body.state === 'done')
  return (await member.call('liaison', 'GET', `${place}/bundle`)).bytes
}

const policyFor = (directory: HeldDirectory, years: readonly number[]) =>
  policyOf({ self: 'hotline-gb', directory: () => directory, auditPolicy: undefined }, years)

// Its bundles hold every entry, so that they claim the whole log.
await admin(gb, "update crossline.api_client set network_wide = true where role = 'liaison'")
await handOver('before', year)
offsetMs = newYear + 5000 - Date.now()
await handOver('after', year + 1)
await untilCosigned(gb, year)

t.test('each year is signed, and cosigned, under its own key', async (t) => {
  t.same((await findAuditKeyFiles(memberFiles(network.folder, 'hotline-gb').audit)).map((file) => file.year).slice(-2), [
    year,
    year + 1,
  ])
  for (const each of [year, year + 1]) {
    const lines = policyFor(held(), [each]).split('\n')
    const signers = await signersOf(gb, each)
    t.ok(
      lines.some((line) => line.startsWith(`log ${signers[0]}+`)),
      `the log of ${each}`,
    )
    t.ok(
      lines.some((line) => line.includes(` ${signers[1]}+`)),
      'its witness',
    )
  }
})

t.test('one bundle over both verifies whole, under each policy of the directory', async (t) => {
  const bundle = await exportAll(gb)
  const found = verify(bundle, policyFor(held(), [year, year + 1]))
  t.same(found.faults, [])
  t.match(found, {
    verdict: 'valid',
    logs: [
      { origin: `hotline-gb/audit/${year}`, witnessed: 1, needed: 1, of: 1 },
      { origin: `hotline-gb/audit/${year + 1}`, witnessed: 1, needed: 1, of: 1 },
    ],
  })
  t.equal(found.bundlePolicy, 'same')

  const oneKey = await readAuditKey(auditKeyFile(memberFiles(network.folder, 'hotline-gb').audit, year))
  const without = readDirectory(network.folder)
  for (const member of without.document.members)
    member.keys = member.keys.filter(
      (key: MemberKey) => member.id !== 'hotline-gb' || key.use !== 'audit' || key.kid === oneKey.kid,
    )
  const single = verify(bundle, policyFor(holdDirectory({ ...without, root: {} as Root }), [year, year + 1]))
  t.match(
    single,
    { verdict: 'incomplete', faults: [{ stage: 'signature', log: `hotline-gb/audit/${year + 1}` }] },
    'and not with one key',
  )
})

t.test(
  'a node without its key of the new year says so, works on under the old one, and takes the new one when it comes',
  async (t) => {
    const files = memberFiles(network.folder, 'hotline-gb')
    const [path, aside] = [auditKeyFile(files.audit, year + 1), join(network.folder, 'aside.key')]
    const nameOf = (key: AuditKey) =>
      makeVerifierKey(`hotline-gb/audit/${year + 1}`, 1, Buffer.from(key.publicJwk.x, 'base64url')).keyId.toString('hex')
    const untilSignedBy = (key: AuditKey) =>
      eventually('the newest checkpoint is under that key', async () => (await signersOf(gb, year + 1))[0]?.endsWith(nameOf(key)))
    const [old, young] = [await readAuditKey(auditKeyFile(files.audit, year)), await readAuditKey(path)]
    await gb.stop()
    renameSync(path, aside)
    await gb.start()
    await eventually('it is told', async () =>
      gb.logLines.some((line) => line.includes('the audit log of that year has no key of its own')),
    )
    t.equal((await fetch(`http://127.0.0.1:${gb.node().health.port}/health/ready`)).status, 200)
    await handOver('without', year + 1)
    t.ok(await untilSignedBy(old), 'signed, and cosigned by a peer')
    const { faults } = verify(await exportAll(gb), policyFor(held(), [year + 1]))
    t.same(
      [...new Set(faults.map(({ log }) => log))],
      [`hotline-gb/audit/${year}`],
      'of the year that a policy is for nothing lacks',
    )
    renameSync(aside, path)
    await eventually(
      'the key is taken',
      async () => gb.logLines.filter((line) => line.includes('certificates and keys reloaded')).length,
    )
    await handOver('again', year + 1)
    t.ok(await untilSignedBy(young))
    t.equal(verify(await exportAll(gb), policyFor(held(), [year, year + 1])).verdict, 'valid')
  },
)

t.test('it still does when the keys of the old year are retired', async (t) => {
  const retiredAt = new Date(newYear + 3_700_000).toISOString()
  offsetMs = newYear + 3_700_000 - Date.now()
  await publishKeys((key) => (key.use === 'audit' && key.year === year ? { ...key, state: 'retired', retiredAt } : key))
  await handOver('later', year + 1)
  await untilCosigned(gb, year)
  const found = verify(await exportAll(gb), policyFor(held(), [year, year + 1]))
  t.same(found.faults, [])
  t.match(found, { verdict: 'valid', logs: [{ witnessed: 1 }, { witnessed: 1 }], bundlePolicy: 'same' })
})
