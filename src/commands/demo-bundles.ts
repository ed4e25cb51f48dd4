// The custody of one item as proof: each side's liaison exports it, and a process with no database and no network verifies the bundles.
// Then one byte of a copy is changed. The policy comes from the directory, as a stranger would get it, never from the node that is checked.
import { execFile } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { digest } from '#crypto/digests.ts'
import { verifyDirectory, verifyFirstRoot } from '#crypto/directory-documents.ts'
import { type HeldDirectory, holdDirectory } from '#domain/held-directory.ts'
import { memberOfWitness, parseOrigin } from '#domain/network-policy.ts'
import type { Verification } from '#domain/verification.ts'
import { CrosslineError } from '#errors.ts'
import type { AuditExport } from '#schema/audit-export.ts'
import { policyOf } from '#steps/audit-policy.ts'
import { waitFor } from './demo-api.ts'
import { shown } from './demo-file.ts'
import type { DemoHotline, DemoNetwork } from './demo-network.ts'
import type { Sides, Telling } from './demo-witnesses.ts'
import { networkFiles } from './dev-files.ts'

export interface CustodyProof {
  bundles: { valid: number; refused: number }
  differences: string[]
}

interface Bundle {
  member: string
  path: string
  policy: string
}

const verifier = resolve(import.meta.dirname, '..', '..', 'verifier', 'crossline-verify.mjs')
const exportPatienceMs = 30_000

/** Exports, verifies, alters, verifies again; says what came of each. */
export async function proveCustody(
  network: DemoNetwork,
  { item, sides, telling: { say, signal } }: { item: string; sides: Sides; telling: Telling },
): Promise<CustodyProof> {
  const folder = join(network.folder, 'bundles')
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const directory = await readDirectory(network.certs)
  const bundles = await Promise.all(sides.map((side) => exportCustody(side, { item, folder, directory, signal })))
  say(`The liaison of each side exports this custody as a bundle. A process of its own, without database or network, which
may read three files, verifies each: the bundle, the verifier, and a policy (from the directory) of who must have signed.\n`)
  const found = await Promise.all(bundles.map(verify))
  bundles.forEach((bundle, n) => {
    say(describeVerified(bundle, found[n] as Verified))
  })
  const [own] = bundles as [Bundle, ...Bundle[]]
  say(`\nVerify one yourself (Node 24 or newer; from 20.12 without --permission and what it allows):\n${describeCommand(own)}\n`)
  const refusal = await refuseAltered(own, folder)
  say(refusal.text)
  const isValid = (one: Verified) => one.exitCode === 0 && one.found.complete === 'item'
  const wrong = bundles.filter((_, n) => !isValid(found[n] as Verified)).map(({ member }) => member)
  return {
    bundles: { valid: bundles.length - wrong.length, refused: refusal.exitCode === 1 ? 1 : 0 },
    differences: [
      ...wrong.map((member) => `the bundle of ${member} does not prove the whole custody`),
      ...(refusal.exitCode === 1 ? [] : [`the altered bundle ended with exit code ${refusal.exitCode}, expected was 1`]),
    ],
  }
}

async function readDirectory(certs: string): Promise<HeldDirectory> {
  const files = networkFiles(certs)
  const rootBytes = await readFile(files.root)
  const root = await verifyFirstRoot(rootBytes, [digest(rootBytes)])
  const bytes = await readFile(files.directory)
  const { document, number: version, hash } = await verifyDirectory(bytes, root.document)
  return holdDirectory({ document, version, hash, bytes, root: root.document })
}

interface Asked {
  item: string
  folder: string
  directory: HeldDirectory
  signal: AbortSignal
}

/** As a liaison does it: order, wait, fetch. */
async function exportCustody({ id, api }: DemoHotline, { item, folder, directory, signal }: Asked): Promise<Bundle> {
  const ordered = await api.post<AuditExport>('liaison', '/audit/v1/exports', { item, purpose: 'demo' })
  const place = `/audit/v1/exports/${ordered.id}`
  const look = async () => {
    const now = await api.get<AuditExport>('liaison', place)
    return now.state === 'done' || now.state === 'failed' ? now : undefined
  }
  const { state, checkpoint } = (await waitFor(look, { patienceMs: exportPatienceMs, signal })) ?? ordered
  const year = parseOrigin(checkpoint?.origin ?? '')?.year
  if (state !== 'done' || year === undefined)
    throw new CrosslineError('demo_failed', { detail: `The export of ${id} is ${state}: see the node.log of that member.` })
  const bundle = { member: id, path: join(folder, `${id}.tar`), policy: join(folder, `${id}.policy.txt`) }
  await writeFile(bundle.path, await api.download('liaison', `${place}/bundle`))
  await writeFile(bundle.policy, policyOf({ self: id, directory: () => directory, auditPolicy: undefined }, [year]))
  return bundle
}

interface Ended {
  exitCode: number
  stdout: string
}

type Verified = { exitCode: number; found: Verification }

async function verify(bundle: Bundle): Promise<Verified> {
  const { exitCode, stdout } = await runVerifier(bundle, ['--json'])
  return { exitCode, found: JSON.parse(stdout) as Verification }
}

/** Without a grant, Node's permission mode denies the network, other processes, and every file that is not named. */
function argumentsOf({ path, policy }: Bundle): { rights: string[]; rest: string[] } {
  return {
    rights: ['--permission', ...[verifier, path, policy].map((file) => `--allow-fs-read=${file}`)],
    rest: [verifier, path, '--policy', policy],
  }
}

function runVerifier(bundle: Bundle, more: readonly string[]): Promise<Ended> {
  const { rights, rest } = argumentsOf(bundle)
  return new Promise((done, fail) => {
    execFile(process.execPath, [...rights, ...rest, ...more], { env: {} }, (error, stdout) => {
      const exitCode = error ? error.code : 0
      if (typeof exitCode === 'number' && stdout !== '') done({ exitCode, stdout })
      else fail(new CrosslineError('demo_failed', { detail: 'The verifier could not be run.', cause: error }))
    })
  })
}

function describeCommand(bundle: Bundle): string {
  const files = [verifier, bundle.path, bundle.policy].map(shown)
  const [script = '', path = '', policy = ''] = files
  return [
    'node --permission',
    ...files.map((file) => `  --allow-fs-read=${file}`),
    `  ${script} ${path} --policy ${policy}`,
  ].join(' \\\n')
}

function describeVerified({ member }: Bundle, { exitCode, found }: Verified): string {
  const { verdict, counts, logs, complete, faults } = found
  const head = `    ${member}.tar: ${verdict.toUpperCase()} (exit code ${exitCode})`
  if (faults[0]) return `${head}. ${faults[0].says}`
  const places = logs.filter(({ entries }) => entries > 0)
  return [
    `${head}: ${counts.entries} entries (the index’s too) unaltered, ${counts.disclosed} values as committed to`,
    ...places.map(({ origin, size, witnessed, needed, of, witnesses }) => {
      const names = witnesses.map(({ name }) => memberOfWitness(name) ?? name).join(' and ')
      return `        in the log ${origin} of ${size} entries, witnessed ${witnessed} of ${of} (${needed} are enough) by ${names};`
    }),
    `        ${complete === 'item' ? 'and none of the item’s entries is missing, up to the index in the log.' : 'that none is missing is NOT proven.'}`,
  ].join('\n')
}

async function refuseAltered(own: Bundle, folder: string): Promise<{ exitCode: number; text: string }> {
  const altered = { ...own, path: join(folder, 'altered.tar') }
  await writeFile(altered.path, backDate(await readFile(own.path)))
  const { exitCode, stdout } = await runVerifier(altered, [])
  const lines = stdout.split('\n')
  const told = lines.slice(0, lines.indexOf('', 2)).filter((line) => line !== '')
  return {
    exitCode,
    text: `In a copy of ${own.member}.tar one byte is changed, the hour of one entry. The verifier ends with exit code ${exitCode}:\n${told.map((line) => `    ${line}`).join('\n')}\n`,
  }
}

/** Moves the first entry of a handoff by an hour: one digit. */
function backDate(bundle: Buffer): Buffer {
  const copy = Buffer.from(bundle)
  const stamp = '\\"at\\":\\"'
  const at = copy.lastIndexOf(stamp, copy.indexOf('handoff.'))
  if (at < 0) throw new CrosslineError('demo_failed', { detail: 'The bundle holds no handoff.' })
  const hour = at + stamp.length + '2026-01-01T0'.length
  copy[hour] = copy[hour] === 0x30 ? 0x31 : 0x30
  return copy
}
