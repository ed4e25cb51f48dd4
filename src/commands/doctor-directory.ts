// The doctor's look at the directory: what this node holds, what its file holds, how long it counts, and whether a peer holds a newer one.
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Config } from '#config.ts'
import { digest } from '#crypto/digests.ts'
import { verifyDirectory, verifyFirstRoot } from '#crypto/directory-documents.ts'
import { type HeldDirectory, holdDirectory } from '#domain/held-directory.ts'
import { CrosslineError } from '#errors.ts'
import { createLogger } from '#log.ts'
import { openHeldDirectory } from '#node-directory.ts'
import type { Root } from '#schema/directory.ts'
import { type CallingContext, callPeer } from '#steps/call-peer.ts'
import type { Database } from '#storage/database.ts'
import { days, type Finding, failed, ok, warning } from './doctor-findings.ts'

const check = 'directory'
const dayMs = 24 * 3_600_000
const warnBelowDays = 7

export interface FoundDirectory {
  /** The one that the node goes by; from its file where the database can't say. */
  directory: HeldDirectory
  findings: Finding[]
}

/** Throws `bad_directory`, `broken_file` when there is none that verifies. */
export async function examineDirectory(config: Config, db: Database | undefined, now: () => Date): Promise<FoundDirectory> {
  const held = db && (await findHeld(config, db, now))
  const filed = await findFiled(config, held?.root)
  const directory = held ?? filed
  if (!directory)
    throw new CrosslineError('bad_directory', {
      detail: 'This node holds no directory, and DIRECTORY_FILE with ROOT_FILE gives none.',
    })
  const findings = [judgeLife(directory, now())]
  if (held && filed && filed.version > held.version) {
    findings.push(
      warning(
        check,
        `DIRECTORY_FILE holds version ${filed.version}, this node goes by version ${held.version}.`,
        'A node that runs takes it within seconds: look whether it runs, and what its log says of step “directory”.',
      ),
    )
  }
  return { directory, findings }
}

function judgeLife({ version, document }: HeldDirectory, now: Date): Finding {
  const age = Math.floor((now.getTime() - Date.parse(document.issuedAt)) / dayMs)
  const left = Math.floor((Date.parse(document.expires) - now.getTime()) / dayMs)
  const what = `Version ${version}, issued ${days(Math.max(0, age))} ago`
  const advice = 'Ask the network office for the next one; any reachable peer may bring it too.'
  if (left < 0) return failed(check, `${what}, has expired: nothing is exchanged under it.`, advice)
  if (left < warnBelowDays) return warning(check, `${what}, is stale: it counts for ${days(left)} more.`, advice)
  return ok(check, `${what}, counts for ${days(left)} more.`)
}

async function findHeld(config: Config, db: Database, now: () => Date): Promise<HeldDirectory | undefined> {
  const keeper = await openHeldDirectory(config, { db, now, log: createLogger({ level: 'silent' }), onChange: () => {} })
  return keeper.rootNumber() > 0 ? keeper.current() : undefined
}

async function findFiled(
  { directory: { root, directory, pins } }: Config,
  held: Root | undefined,
): Promise<HeldDirectory | undefined> {
  if (directory === undefined || (!held && root === undefined)) return undefined
  const under = held ?? (await readRoot(root as string, pins))
  const { document, number, hash, bytes } = await verifyDirectory(await readWhole(directory), under)
  return holdDirectory({ document, version: number, hash, bytes, root: under })
}

async function readRoot(path: string, pins: readonly string[]): Promise<Root> {
  const bytes = await readWhole(path)
  return (await verifyFirstRoot(bytes, pins.length > 0 ? pins : [digest(bytes)])).document
}

function readWhole(path: string): Promise<Buffer> {
  return readFile(path).catch((cause: unknown) => {
    throw new CrosslineError('broken_file', { detail: 'ROOT_FILE or DIRECTORY_FILE cannot be read.', cause })
  })
}

/** Whether a peer serves a newer directory, or another one under the same number. */
export async function compareWithPeer(ctx: CallingContext, peer: string): Promise<Finding[]> {
  const answer = await callPeer(ctx, {
    member: peer,
    method: 'GET',
    path: '/federation/v1/directory',
    trace: randomBytes(16).toString('hex'),
    timeoutMs: 10_000,
  })
  if (answer.kind !== 'answered') return []
  const ours = ctx.directory()
  const theirs = await verifyDirectory(answer.body, ours.root).catch(() => undefined)
  if (!theirs)
    return [
      warning(
        check,
        `What ${peer} serves does not verify under the root that this node holds.`,
        'Tell both hotline and network office.',
      ),
    ]
  if (theirs.number > ours.version) {
    return [
      warning(
        check,
        `This node is stale: ${peer} holds version ${theirs.number}, this node version ${ours.version}.`,
        'A node that runs follows by itself: look whether it runs, and what its log says of step “directory”.',
      ),
    ]
  }
  if (theirs.number === ours.version && theirs.hash !== ours.hash && theirs.payloadHash !== digest(payloadOf(ours))) {
    return [
      failed(
        check,
        `${peer} holds another directory under the same number: the office signed two.`,
        'Keep both files and call the network office at once.',
      ),
    ]
  }
  return []
}

function payloadOf({ bytes }: HeldDirectory): Buffer {
  const { payload } = JSON.parse(bytes.toString()) as { payload: string }
  return Buffer.from(payload, 'base64url')
}
