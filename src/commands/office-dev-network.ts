// `crossline office dev-network`: the office of a development network. Writes root.json and directory.json from what `certs dev` made
// and a description of the members; each call is the next version, signed by two of the three officers.
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { findAuditKeyFiles } from '#crypto/audit-keys.ts'
import { fingerprintOf, validityOf } from '#crypto/certificates.ts'
import { digest } from '#crypto/digests.ts'
import { verifyDirectory, verifyFirstRoot } from '#crypto/directory-documents.ts'
import { readAuditKey, readSigningKey, type SigningKey } from '#crypto/keys.ts'
import { isRootAlive, type VerifiedDocument } from '#domain/directory-rules.ts'
import type { Directory, Member, MemberCertificate, MemberKey, Root, Route } from '#schema/directory.ts'
import { authorDirectory, authorRoot } from '#steps/office/publish-directory.ts'
import { developmentMembers } from './certs-dev.ts'
import { authorityFiles, memberFiles, networkFiles, officerFiles, officerNames, pulseKeyFile } from './dev-files.ts'
import { writeWhole } from './write-whole.ts'

const dayMs = 24 * 3600 * 1000

/** A member as a developer describes it. What is left out comes from the files of `certs dev` or is the ordinary case. */
export interface DescribedMember {
  id: string
  name: string
  countries: readonly string[]
  /** https origin of its node; none: it runs no node. */
  url?: string
  kind?: Member['kind']
  status?: Member['status']
  orphanMandate?: boolean
  certificates?: readonly MemberCertificate[]
  keys?: readonly MemberKey[]
}

/** A route as a developer describes it: open, from long ago, by its primary alone unless said otherwise. */
export type DescribedRoute = Pick<Route, 'country' | 'primary'> & Partial<Route>

export interface DevNetworkRequest {
  /** The folder of `certs dev`; the documents go to its `network/`. */
  folder: string
  members: readonly DescribedMember[]
  routes: readonly DescribedRoute[]
  /** Member for countries that no route covers; none: they are orphans. */
  defaultMember?: string
  /** The directory before; else the one in the folder, if there is one. */
  previous?: { version: number; hash: string }
  now?: Date
  refreshSeconds?: number
}

export interface DevNetwork {
  /** `hash` is the fingerprint that nodes pin. */
  root: { path: string; hash: string; bytes: Buffer }
  directory: { path: string; version: number; hash: string; bytes: Buffer; document: Directory }
}

/** What sets a member of the demo apart from the ordinary case. */
const demoDifferences: Readonly<Record<string, Partial<DescribedMember>>> = {
  'hotline-gb': { orphanMandate: true },
  'hotline-us': { status: 'suspended' },
}

/** Origins of the nodes when nothing else is said. A suspended member has none, and the laboratory is where an integrator starts it. */
const demoUrls: Readonly<Record<string, string>> = {
  'hotline-gb': 'https://localhost:8441',
  'hotline-se': 'https://localhost:8442',
  'hotline-jp': 'https://localhost:8443',
  lab: 'https://localhost:8444',
}

/** Members and routes of the demo, given where each node answers. The suspended member's country has a backup. */
export function describeDemoNetwork(urls = demoUrls): Pick<DevNetworkRequest, 'members' | 'routes'> {
  return {
    members: developmentMembers.map(({ id, name, countries }) => ({
      id,
      name,
      countries,
      ...demoDifferences[id],
      ...(urls[id] === undefined ? {} : { url: urls[id] }),
    })),
    routes: [
      { country: 'GB', primary: 'hotline-gb', backup: 'hotline-se' },
      { country: 'SE', primary: 'hotline-se', backup: 'hotline-gb' },
      { country: 'JP', primary: 'hotline-jp', backup: 'hotline-gb' },
      { country: 'US', primary: 'hotline-us', backup: 'hotline-gb' },
      { country: 'PH', primary: 'lab', backup: 'hotline-jp' },
    ],
  }
}

/** Writes the next directory, and the root if there is none that fits the officers' keys and the authority. */
export async function authorDevNetwork(request: DevNetworkRequest): Promise<DevNetwork> {
  const { folder, now = new Date() } = request
  const files = networkFiles(folder)
  const officerKeys = await Promise.all(officerNames.map((name) => readSigningKey(officerFiles(folder, name).sign)))
  const root = await ensureRoot({ folder, officerKeys, now })
  const previous = request.previous ?? (await findPrevious(files.directory, root.document))
  const document = await describeDirectory(request, previous, now)
  const { bytes, hash } = await authorDirectory({ officerKeys: officerKeys.slice(0, 2), document })
  await writeWhole(files.directory, bytes, 0o644)
  return {
    root: { path: files.root, hash: root.hash, bytes: root.bytes },
    directory: { path: files.directory, version: document.version, hash, bytes, document },
  }
}

/** One member as the directory lists it, with the certificate and keys that `certs dev` made unless others are given. */
export async function describeMember(folder: string, member: DescribedMember, now = new Date()): Promise<Member> {
  return {
    id: member.id,
    name: member.name,
    kind: member.kind ?? 'hotline',
    status: member.status ?? 'full',
    countries: [...member.countries],
    orphanMandate: member.orphanMandate ?? false,
    endpoints: member.url === undefined ? [] : [{ use: 'federation', url: member.url }],
    certificates: [...(member.certificates ?? [await describeCertificate(memberFiles(folder, member.id).node.certificate)])],
    keys: [...(member.keys ?? (await describeKeys(folder, member.id, now)))],
    versions: [1],
    reportingUrl: null,
    contact: null,
    joinedAt: '2026-01-01T00:00:00.000Z',
  }
}

/** A certificate file as the directory lists it. */
export async function describeCertificate(
  path: string,
  state: MemberCertificate['state'] = 'current',
): Promise<MemberCertificate> {
  const certificate = new X509Certificate(await readFile(path))
  const { notBefore, notAfter } = validityOf(certificate)
  return { fingerprint: fingerprintOf(certificate), notBefore: notBefore.toISOString(), notAfter: notAfter.toISOString(), state }
}

async function describeKeys(folder: string, id: string, now: Date): Promise<MemberKey[]> {
  const files = memberFiles(folder, id)
  const [sign, encrypt, audit] = await Promise.all([
    readSigningKey(files.sign),
    readSigningKey(files.encrypt),
    describeAuditKeys(files.audit, now.getUTCFullYear()),
  ])
  return [
    { jwk: sign.publicJwk, kid: sign.kid, use: 'sign', state: 'current' },
    { jwk: encrypt.publicJwk, kid: encrypt.kid, use: 'encrypt', state: 'current' },
    ...audit,
  ]
}

// Last year's stays in use: its log closes an hour into the new year, and a witness may have been away then.
async function describeAuditKeys(path: string, thisYear: number): Promise<MemberKey[]> {
  const files = await findAuditKeyFiles(path)
  return Promise.all(
    files.map(async ({ year = thisYear, path: file }): Promise<MemberKey> => {
      const { publicJwk, kid } = await readAuditKey(file)
      const listed = { jwk: publicJwk, kid, use: 'audit', year } as const
      if (year < thisYear - 1) return { ...listed, state: 'retired', retiredAt: new Date(Date.UTC(year + 2, 0)).toISOString() }
      return { ...listed, state: year > thisYear ? 'next' : 'current' }
    }),
  )
}

async function describeDirectory(
  { folder, members, routes, defaultMember, refreshSeconds = 30 }: DevNetworkRequest,
  previous: DevNetworkRequest['previous'],
  now: Date,
): Promise<Directory> {
  return {
    version: (previous?.version ?? 0) + 1,
    previous: previous?.hash ?? null,
    issuedAt: now.toISOString(),
    expires: new Date(now.getTime() + 30 * dayMs).toISOString(),
    refreshSeconds,
    members: await Promise.all(members.map((member) => describeMember(folder, member, now))),
    routes: routes.map((route) => ({
      also: [],
      policy: 'primary',
      backup: null,
      from: '2026-01-01T00:00:00.000Z',
      until: null,
      ...route,
    })),
    ...(defaultMember === undefined ? {} : { default: defaultMember }),
    policy: { minVersion: 1 },
  }
}

interface Office {
  folder: string
  officerKeys: readonly SigningKey[]
  now: Date
}

// Nodes pin the root's fingerprint, so it stays as long as it fits: the same officers, the same authority, not over.
async function ensureRoot({ folder, officerKeys, now }: Office): Promise<VerifiedDocument<Root>> {
  const path = networkFiles(folder).root
  const pulseKey = await readSigningKey(pulseKeyFile(folder))
  const authorityPem = await readFile(authorityFiles(folder).certificate, 'utf8')
  const roles = rolesOf(officerKeys, pulseKey)
  const held = await findRoot(path)
  if (
    held &&
    isRootAlive(held.document, new Date(now.getTime() + 30 * dayMs)) &&
    isSame([held.document.roles, held.document.tlsAuthorities], [roles, [authorityPem]])
  ) {
    return held
  }
  const expires = new Date(now.getTime() + 365 * dayMs).toISOString()
  // With the same officers it is the next root, which a node that holds the one before can follow.
  const number = held && isSame(held.document.roles, roles) ? held.number + 1 : 1
  const root: Root = { number, expires, roles, tlsAuthorities: [authorityPem], minVersion: 1 }
  const { bytes, hash } = await authorRoot({ officerKeys: officerKeys.slice(0, 2), root })
  await writeWhole(path, bytes, 0o644)
  return verifyFirstRoot(bytes, [hash])
}

function rolesOf(officerKeys: readonly SigningKey[], pulseKey: SigningKey): Root['roles'] {
  const keys = officerKeys.map(({ publicJwk }) => publicJwk)
  return {
    root: { keys, threshold: 2 },
    directory: { keys, threshold: 2 },
    pulse: { keys: [pulseKey.publicJwk], threshold: 1 },
  }
}

function isSame(held: unknown, wanted: unknown): boolean {
  return JSON.stringify(held) === JSON.stringify(wanted)
}

async function findRoot(path: string): Promise<VerifiedDocument<Root> | undefined> {
  const bytes = await readIfThere(path)
  return bytes && verifyFirstRoot(bytes, [digest(bytes)])
}

/** The directory in the folder, if the root at hand signed it: after new officers' keys the count starts again. */
async function findPrevious(path: string, root: Root): Promise<DevNetworkRequest['previous']> {
  const bytes = await readIfThere(path)
  if (!bytes) return undefined
  const held = await verifyDirectory(bytes, root).catch(() => undefined)
  return held && { version: held.number, hash: held.hash }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
