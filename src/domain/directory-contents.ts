// Turns the payload of a root or directory into its type, and refuses one whose parts contradict each other: a signature of officers
// proves who wrote it, not that it can be worked with. Throws `bad_directory` with the place, never with a value.
import { hash } from 'node:crypto'
import { CrosslineError } from '#errors.ts'
import {
  type Directory,
  directoryValidator,
  type EcPublicKey,
  type EdPublicKey,
  type Member,
  type MemberKey,
  type Root,
  type Route,
  rootValidator,
} from '#schema/directory.ts'

/** Longest life of a directory, from issuedAt to expires. */
const maxDirectoryLifeMs = 30 * 24 * 3600 * 1000

/** RFC 7638 thumbprint of a public key: its `kid` everywhere. */
export function thumbprintOf(jwk: EcPublicKey | EdPublicKey): string {
  const required =
    jwk.kty === 'EC' ? { crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y } : { crv: jwk.crv, kty: jwk.kty, x: jwk.x }
  return hash('sha256', JSON.stringify(required), 'base64url')
}

/** Milliseconds since 1970. Throws for a day that does not exist, which would otherwise compare as "never". */
export function instantOf(time: string): number {
  const instant = Date.parse(time)
  if (Number.isNaN(instant) || new Date(instant).toISOString() !== time) throw bad('A time does not exist')
  return instant
}

/** A root whose form and parts are right. Whether it is trusted is another question. */
export function parseRoot(value: unknown): Root {
  if (!rootValidator.Check(value))
    throw bad('A field of the root has the wrong form', rootValidator.Errors(value)[0]?.instancePath)
  instantOf(value.expires)
  for (const [name, { keys, threshold }] of Object.entries(value.roles)) {
    requireUnique(keys.map(thumbprintOf), 'A role lists a key twice', `/roles/${name}/keys`)
    if (threshold > keys.length) throw bad('A role asks for more signatures than it has keys', `/roles/${name}/threshold`)
  }
  return value
}

/** A directory whose form and parts are right. Whether it is trusted, and may follow another, are other questions. */
export function parseDirectory(value: unknown): Directory {
  if (!directoryValidator.Check(value)) {
    throw bad('A field of the directory has the wrong form', directoryValidator.Errors(value)[0]?.instancePath)
  }
  checkLife(value)
  checkMembers(value.members)
  checkRoutes(value)
  return value
}

function checkLife({ version, previous, issuedAt, expires }: Directory): void {
  const lifeMs = instantOf(expires) - instantOf(issuedAt)
  if (lifeMs <= 0 || lifeMs > maxDirectoryLifeMs) throw bad('The directory must live at most 30 days', '/expires')
  if ((version === 1) !== (previous === null)) throw bad('Only the first version has no previous', '/previous')
}

function checkMembers(members: readonly Member[]): void {
  requireUnique(
    members.map(({ id }) => id),
    'Two members have the same id',
    '/members',
  )
  requireUnique(
    members.flatMap(({ certificates }) => certificates.map(({ fingerprint }) => fingerprint)),
    'A certificate is listed twice',
    '/members',
  )
  requireUnique(
    members.flatMap(({ keys }) => keys.map(({ kid }) => kid)),
    'A key is listed twice',
    '/members',
  )
  for (const [index, member] of members.entries()) checkMember(member, `/members/${index}`)
}

function checkMember(member: Member, pointer: string): void {
  instantOf(member.joinedAt)
  for (const [index, certificate] of member.certificates.entries()) {
    if (instantOf(certificate.notBefore) >= instantOf(certificate.notAfter)) {
      throw bad('A certificate ends before it starts', `${pointer}/certificates/${index}`)
    }
  }
  for (const [index, key] of member.keys.entries()) checkKey(key, `${pointer}/keys/${index}`)
}

function checkKey(key: MemberKey, pointer: string): void {
  if (key.kid !== thumbprintOf(key.jwk)) throw bad('A kid is not the thumbprint of its key', `${pointer}/kid`)
  for (const name of ['retiredAt', 'revokedAt'] as const) if (key[name] !== undefined) instantOf(key[name])
  if (key.state === 'retired' && key.retiredAt === undefined) throw bad('A retired key needs retiredAt', pointer)
  if (key.state === 'revoked' && key.revokedAt === undefined) throw bad('A revoked key needs revokedAt', pointer)
  if (key.revokedAt !== undefined && key.state !== 'revoked') throw bad('Only a revoked key has revokedAt', pointer)
  // A key that was retired first and revoked later keeps both times.
  if (key.retiredAt !== undefined && key.state !== 'retired' && key.state !== 'revoked') {
    throw bad('Only a retired or revoked key has retiredAt', pointer)
  }
}

function checkRoutes({ routes, members, default: fallback }: Directory): void {
  const known = new Set(members.map(({ id }) => id))
  for (const [index, { primary, backup, also }] of routes.entries()) {
    const named = [primary, ...also, ...(backup === null ? [] : [backup])]
    if (!named.every((id) => known.has(id))) throw bad('A route names someone who is no member', `/routes/${index}`)
    if (new Set(named).size !== named.length) throw bad('A route names a member twice', `/routes/${index}`)
  }
  if (fallback !== undefined && !known.has(fallback)) throw bad('The default is no member', '/default')
  for (const ofCountry of Map.groupBy(routes, ({ country }) => country).values()) checkSequence(ofCountry)
}

/** One primary at any instant: the next route starts exactly where the one before ends. */
function checkSequence(routes: readonly Route[]): void {
  const spans = routes
    .map(({ from, until }) => ({ from: instantOf(from), until: until === null ? Number.POSITIVE_INFINITY : instantOf(until) }))
    .sort((a, b) => a.from - b.from)
  for (const [index, { from, until }] of spans.entries()) {
    if (from >= until) throw bad('A route ends before it starts', '/routes')
    const before = spans[index - 1]
    if (before && before.until !== from) throw bad('Routes of a country overlap or leave a gap', '/routes')
  }
}

function requireUnique(values: readonly string[], detail: string, pointer: string): void {
  if (new Set(values).size !== values.length) throw bad(detail, pointer)
}

function bad(detail: string, pointer?: string): CrosslineError {
  return new CrosslineError('bad_directory', { detail, ...(pointer ? { pointer } : {}) })
}
