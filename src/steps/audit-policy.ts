// Which keys may speak for a log or as a witness, and how many witnesses are enough: the operator's policy file, else what follows
// from the directory.
import type { KeyObject } from 'node:crypto'
import {
  describePolicy,
  keysOfYear,
  keysOfYears,
  type ListedKey,
  memberOfWitness,
  originOf,
  parseOrigin,
  type WitnessMember,
} from '#domain/network-policy.ts'
import { makeVerifierKey, parseNote, type VerifierKey } from '#domain/signed-note.ts'
import { meetsQuorum, type Policy, parsePolicy } from '#domain/tlog-policy.ts'
import type { StepContext } from './context.ts'
import type { Witnessed } from './witness-board.ts'

export type PolicyContext = Pick<StepContext, 'self' | 'directory' | 'auditPolicy'>

const rawKey = ({ jwk }: { jwk: { x: string } }): Buffer => Buffer.from(jwk.x, 'base64url')

/** All audit keys of a member that were not revoked. */
function listedKeys(ctx: Pick<StepContext, 'directory'>, member: string): ListedKey[] {
  return (ctx.directory().findMember(member)?.keys ?? []).flatMap((key) =>
    key.use === 'audit' && key.state !== 'revoked'
      ? [{ publicKey: rawKey(key), year: key.year, isUsable: key.state === 'current' || key.state === 'next' }]
      : [],
  )
}

/** Keys under which a member's log may be signed now; none for an origin of another form. */
export function logKeys(ctx: Pick<StepContext, 'directory'>, origin: string): VerifierKey[] {
  const log = parseOrigin(origin)
  if (!log) return []
  const usable = listedKeys(ctx, log.member).filter(({ isUsable }) => isUsable)
  return keysOfYear(usable, log.year).map((key) => makeVerifierKey(origin, 1, key))
}

/** Keys under which it may have been signed before, by what the directory tells now: all but revoked ones. */
export function pastLogKeys(ctx: Pick<StepContext, 'directory'>, origin: string): VerifierKey[] {
  return listedKeys(ctx, parseOrigin(origin)?.member ?? '').map(({ publicKey }) => makeVerifierKey(origin, 1, publicKey))
}

/** The same of our own log, with the key that we have: a peer or a table may hold what we signed under any of them. */
export function ownLogKeys(ctx: Pick<StepContext, 'directory' | 'auditKey'>, origin: string): VerifierKey[] {
  const { publicJwk } = ctx.auditKey(parseOrigin(origin)?.year ?? 0)
  return [makeVerifierKey(origin, 1, rawKey({ jwk: publicJwk })), ...pastLogKeys(ctx, origin)].filter(
    (key, n, all) => all.findIndex(({ text }) => text === key.text) === n,
  )
}

/** What we cosign a log with: our key of the same year, as long as the directory lists it as usable, else today's. */
export function cosigningKey(ctx: Pick<StepContext, 'self' | 'directory' | 'auditKey' | 'now'>, origin: string): KeyObject {
  const today = ctx.now().getUTCFullYear()
  const own = ctx.auditKey(parseOrigin(origin)?.year ?? today)
  const isListed = ctx
    .directory()
    .auditKeys(ctx.self)
    .some(({ kid }) => kid === own.kid)
  return isListed ? own.key : ctx.auditKey(today).key
}

/** Every other member that a checkpoint is sent to, by id, with the keys under which it may cosign now: active, with an endpoint. */
export function findWitnesses(ctx: Pick<StepContext, 'self' | 'directory'>): WitnessMember[] {
  return witnessesWith(ctx, (id) => ctx.directory().auditKeys(id).map(rawKey))
}

/** The same with the keys that count under our logs of these years, whenever it was that they cosigned. */
export function witnessesOf(ctx: Pick<StepContext, 'self' | 'directory'>, years: readonly number[]): WitnessMember[] {
  return witnessesWith(ctx, (id) => {
    const keys = years.flatMap((year) => keysOfYear(listedKeys(ctx, id), year))
    return keys.filter((key, n) => keys.findIndex((other) => other.equals(key)) === n)
  })
}

function witnessesWith(ctx: Pick<StepContext, 'self' | 'directory'>, keysOf: (id: string) => Buffer[]): WitnessMember[] {
  return ctx
    .directory()
    .peersOf(ctx.self)
    .map(({ id }) => ({ id, keys: keysOf(id) }))
    .filter(({ keys }) => keys.length > 0)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
}

/** The policy for our logs of these years, as text for a verifier: the operator's, else what follows from the directory. */
export function policyOf(ctx: PolicyContext, years: readonly number[]): string {
  if (ctx.auditPolicy !== undefined) return ctx.auditPolicy
  const logs = keysOfYears(listedKeys(ctx, ctx.self), years).map(({ year, publicKey }) =>
    makeVerifierKey(originOf(ctx.self, year), 1, publicKey),
  )
  return describePolicy({ logs, witnesses: witnessesOf(ctx, years) })
}

/** The same for one year, as text and as read. Throws `bad_policy` for a file that is none. */
export function findAuditPolicy(ctx: PolicyContext, year: number): { text: string; policy: Policy } {
  const text = policyOf(ctx, [year])
  return { text, policy: parsePolicy(text) }
}

/** Names under which the witnesses of our policy cosign, each once. */
export function namesOfWitnesses(ctx: PolicyContext & Pick<StepContext, 'now'>): string[] {
  const { policy } = findAuditPolicy(ctx, ctx.now().getUTCFullYear())
  return [...new Set(policy.witnesses.map(({ key }) => key.name))]
}

/** How many witnesses have given these signature lines. They were verified when they were stored: here only whose they are is asked. */
export function countWitnesses(policy: Policy, lines: readonly string[]): Witnessed {
  const signatures = lines.length === 0 ? [] : parseNote(`-\n\n${lines.join('')}`).signatures
  const isSigner = (key: VerifierKey) => signatures.some(({ name, keyId }) => name === key.name && keyId.equals(key.keyId))
  const signers = policy.witnesses.filter(({ key }) => isSigner(key))
  const membersOf = (witnesses: typeof signers) => new Set(witnesses.map(({ key }) => memberOfWitness(key.name) ?? key.name)).size
  return {
    k: membersOf(signers),
    n: membersOf(policy.witnesses),
    quorum: meetsQuorum(policy, new Set(signers.map(({ name }) => name))),
  }
}
