// The directory as a node asks it on every request: an immutable view with its look-ups ready. It answers from memory, and only what
// the directory says at the given moment: status, certificates, keys and routes decide, nothing is remembered about a connection.
import type { Directory, EcPublicKey, EdPublicKey, Member, MemberCertificate, MemberKey, Root, Route } from '#schema/directory.ts'
import { instantOf } from './directory-contents.ts'

/** Why a member is responsible for a country. */
export type ResponsibilityRule = 'covered' | 'backup' | 'default'

/** A key that signs or seals: P-256. */
export type EcMemberKey = MemberKey & { jwk: EcPublicKey }

/** A key that signs checkpoints of the audit log, and cosigns those of others: Ed25519. */
export type EdMemberKey = MemberKey & { jwk: EdPublicKey }

export interface HeldDirectory {
  readonly version: number
  /** SHA-256 of the bytes as served: with the version, the `dir` claim of a proof. */
  readonly hash: string
  readonly bytes: Buffer
  readonly document: Directory
  readonly root: Root
  /** Any member of the document, those that left included. */
  findMember(id: string): Member | undefined
  /** Whose certificate this is, if it opens a connection now: state current or next, and within its own times. */
  findMemberByFingerprint(fingerprint: string, now: Date): { member: Member; certificate: MemberCertificate } | undefined
  /** Keys under which a member may sign now (current and next). */
  signingKeys(id: string): readonly EcMemberKey[]
  /** A signing key of a member in any state, for evidence; its state and times say what it still proves. */
  findSigningKey(id: string, kid: string): EcMemberKey | undefined
  /** Keys under which a member may sign and cosign checkpoints now (current and next). */
  auditKeys(id: string): readonly EdMemberKey[]
  /** The key to which secrets for a member are sealed now. */
  findEncryptionKey(id: string): EcMemberKey | undefined
  /** Whether a member takes part: full, or provisional (then with the office only: see `mayExchange`). */
  isActive(id: string): boolean
  /** Whether two members may exchange messages now. */
  mayExchange(self: string, other: string): boolean
  /** The route of a country at a moment, whatever the state of its members. */
  findRoute(country: string, now: Date): Route | undefined
  /** Who answers for a country now. `turn` counts the items of a round_robin route; undefined means orphaned. */
  responsibleMember(country: string, now: Date, turn?: number): { member: string; rule: ResponsibilityRule } | undefined
  /** Every other member that a node may exchange with and that has an endpoint. */
  peersOf(self: string): readonly Member[]
  /** Countries with a route that a member answers for now, as primary, in turn or as backup; sorted. */
  coveredCountries(id: string, now: Date): readonly string[]
}

interface Indexes {
  members: ReadonlyMap<string, Member>
  certificates: ReadonlyMap<string, { member: Member; certificate: MemberCertificate }>
  routes: ReadonlyMap<string, readonly Span[]>
}

interface Span {
  route: Route
  from: number
  until: number
}

/** Makes the view of a verified directory. The document is frozen: whoever holds it may keep it. */
export function holdDirectory(held: {
  document: Directory
  version: number
  hash: string
  bytes: Buffer
  root: Root
}): HeldDirectory {
  const document = deepFreeze(held.document)
  const indexes = indexDirectory(document)
  const { members } = indexes
  const exchange = (self: string, other: string) => mayExchange(members.get(self), members.get(other))
  return Object.freeze({
    ...held,
    document,
    root: deepFreeze(held.root),
    findMember: (id: string) => members.get(id),
    findMemberByFingerprint: (fingerprint: string, now: Date) => findUsable(indexes, fingerprint, now),
    signingKeys: (id: string) => keysOf(members.get(id), 'sign').filter(isUsable),
    findSigningKey: (id: string, kid: string) => keysOf(members.get(id), 'sign').find((key) => key.kid === kid),
    auditKeys: (id: string) => (members.get(id)?.keys ?? []).filter(isAuditKey).filter(isUsable),
    findEncryptionKey: (id: string) => keysOf(members.get(id), 'encrypt').find(({ state }) => state === 'current'),
    isActive: (id: string) => isFull(members.get(id)) || members.get(id)?.status === 'provisional',
    mayExchange: exchange,
    findRoute: (country: string, now: Date) => findRoute(indexes, country, now),
    responsibleMember: (country: string, now: Date, turn = 0) => findResponsible({ indexes, document, country, now, turn }),
    peersOf: (self: string) =>
      document.members.filter(({ id, endpoints }) => id !== self && endpoints.length > 0 && exchange(self, id)),
    coveredCountries: (id: string, now: Date) =>
      [...indexes.routes.keys()].filter((country) => candidatesOf(indexes, country, now).members.includes(id)).sort(),
  })
}

function indexDirectory(document: Directory): Indexes {
  const spans = document.routes.map((route) => ({
    route,
    from: instantOf(route.from),
    until: route.until === null ? Number.POSITIVE_INFINITY : instantOf(route.until),
  }))
  return {
    members: new Map(document.members.map((member) => [member.id, member])),
    certificates: new Map(
      document.members.flatMap((member) =>
        member.certificates.map((certificate) => [certificate.fingerprint, { member, certificate }] as const),
      ),
    ),
    routes: Map.groupBy(spans, ({ route }) => route.country),
  }
}

function findUsable({ certificates }: Indexes, fingerprint: string, now: Date) {
  const found = certificates.get(fingerprint)
  if (!found || !isUsable(found.certificate)) return undefined
  // TLS checks the times only when a connection opens, and not at all when it resumes one.
  const { notBefore, notAfter } = found.certificate
  const isValid = instantOf(notBefore) <= now.getTime() && now.getTime() <= instantOf(notAfter)
  return isValid ? found : undefined
}

function keysOf(member: Member | undefined, use: 'sign' | 'encrypt'): EcMemberKey[] {
  return (member?.keys ?? []).filter((key): key is EcMemberKey => key.use === use && key.jwk.kty === 'EC')
}

function isAuditKey(key: MemberKey): key is EdMemberKey {
  return key.use === 'audit' && key.jwk.kty === 'OKP'
}

function isUsable({ state }: { state: MemberKey['state'] }): boolean {
  return state === 'current' || state === 'next'
}

function isFull(member: Member | undefined): boolean {
  return member?.status === 'full'
}

function mayExchange(self: Member | undefined, other: Member | undefined): boolean {
  if (isFull(self) && isFull(other)) return true
  const isTrial = (one?: Member, office?: Member) => one?.status === 'provisional' && isFull(office) && office?.kind === 'office'
  return isTrial(self, other) || isTrial(other, self)
}

function findRoute({ routes }: Indexes, country: string, now: Date): Route | undefined {
  const instant = now.getTime()
  return routes.get(country)?.find(({ from, until }) => from <= instant && instant < until)?.route
}

/** Members that answer for a country now, in order, and whether they are its own or the backup. */
function candidatesOf(indexes: Indexes, country: string, now: Date): { members: string[]; rule: ResponsibilityRule } {
  const isResponsible = (id: string | null) => id !== null && isFull(indexes.members.get(id))
  const route = findRoute(indexes, country, now)
  if (!route) return { members: [], rule: 'covered' }
  const own = [route.primary, ...(route.policy === 'round_robin' ? route.also : [])].filter(isResponsible)
  if (own.length > 0) return { members: own, rule: 'covered' }
  return { members: [route.backup].filter((id): id is string => isResponsible(id)), rule: 'backup' }
}

interface ResponsibilityQuestion {
  indexes: Indexes
  document: Directory
  country: string
  now: Date
  turn: number
}

function findResponsible({ indexes, document, country, now, turn }: ResponsibilityQuestion) {
  const { members, rule } = candidatesOf(indexes, country, now)
  const member = members[turn % members.length]
  if (member !== undefined) return { member, rule }
  const fallback = document.default
  return fallback !== undefined && isFull(indexes.members.get(fallback))
    ? { member: fallback, rule: 'default' as const }
    : undefined
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === 'object' && part !== null) deepFreeze(part)
  return Object.freeze(value)
}
