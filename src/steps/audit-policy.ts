// Which keys may speak for a log or as a witness, and how many witnesses are enough: the operator's policy file, else what follows
// from the directory.
import { describePolicy, memberOfWitness, originOf, parseOrigin, type WitnessMember } from '#domain/network-policy.ts'
import { makeVerifierKey, parseNote, type VerifierKey } from '#domain/signed-note.ts'
import { meetsQuorum, type Policy, parsePolicy } from '#domain/tlog-policy.ts'
import type { StepContext } from './context.ts'
import type { Witnessed } from './witness-board.ts'

export type PolicyContext = Pick<StepContext, 'self' | 'directory' | 'auditPolicy'>

const rawKey = ({ jwk }: { jwk: { x: string } }): Buffer => Buffer.from(jwk.x, 'base64url')

/** Keys under which a member's log may be signed now; none for an origin of another form. */
export function logKeys(ctx: Pick<StepContext, 'directory'>, origin: string): VerifierKey[] {
  const member = parseOrigin(origin)?.member
  if (member === undefined) return []
  return ctx
    .directory()
    .auditKeys(member)
    .map((key) => makeVerifierKey(origin, 1, rawKey(key)))
}

/** The same of our own log, with keys that are retired: a peer may hold what we signed under one. */
export function ownLogKeys(ctx: Pick<StepContext, 'self' | 'directory' | 'auditKey'>, origin: string): VerifierKey[] {
  const listed = ctx.directory().findMember(ctx.self)?.keys ?? []
  const usable = listed.filter(({ use, state }) => use === 'audit' && state !== 'revoked').map(rawKey)
  return [rawKey({ jwk: ctx.auditKey().publicJwk }), ...usable]
    .map((key) => makeVerifierKey(origin, 1, key))
    .filter((key, n, all) => all.findIndex(({ text }) => text === key.text) === n)
}

/** A member as a witness, with the keys under which it may cosign now. */
function witnessOf(ctx: Pick<StepContext, 'directory'>, id: string): WitnessMember {
  return { id, keys: ctx.directory().auditKeys(id).map(rawKey) }
}

/** Every other member that a checkpoint is sent to, by id: active, with an endpoint and an audit key. */
export function findWitnesses(ctx: Pick<StepContext, 'self' | 'directory'>): WitnessMember[] {
  return ctx
    .directory()
    .peersOf(ctx.self)
    .map(({ id }) => witnessOf(ctx, id))
    .filter(({ keys }) => keys.length > 0)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
}

/** The policy for our log of one year, as text for a verifier and as read. Throws `bad_policy` for a file that is none. */
export function findAuditPolicy(ctx: PolicyContext, year: number): { text: string; policy: Policy } {
  const text = ctx.auditPolicy ?? describePolicy({ logs: logKeys(ctx, originOf(ctx.self, year)), witnesses: findWitnesses(ctx) })
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
