// A small network for tests of the directory: officers, a root and a directory with three members, all overridable.
import { hash, randomBytes } from 'node:crypto'
import { generateSigningKey, parseSigningKey, type SigningKey } from '#crypto/keys.ts'
import { thumbprintOf } from '#domain/directory-contents.ts'
import type { Directory, EcPublicKey, Member, MemberKey, Root, Route } from '#schema/directory.ts'

export const now = new Date('2026-11-20T12:00:00.000Z')
export const dayMs = 24 * 3600 * 1000
export const at = (offsetMs: number): string => new Date(now.getTime() + offsetMs).toISOString()
export const anyDigest = (): string => hash('sha256', randomBytes(16), 'base64url')

const authority = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'

export async function makeOfficers(count: number): Promise<SigningKey[]> {
  return Promise.all(Array.from({ length: count }, async () => parseSigningKey(await generateSigningKey())))
}

export function makeRoot(officers: readonly SigningKey[], overrides: Partial<Root> = {}): Root {
  const keys = officers.map(({ publicJwk }) => publicJwk)
  const role = { keys, threshold: 2 }
  return {
    number: 1,
    expires: at(365 * dayMs),
    roles: { root: role, directory: role, pulse: { keys: keys.slice(0, 1), threshold: 1 } },
    tlsAuthorities: [authority],
    minVersion: 1,
    ...overrides,
  }
}

export function makeKey(overrides: Partial<MemberKey> = {}): MemberKey {
  const jwk: EcPublicKey = { kty: 'EC', crv: 'P-256', x: anyDigest(), y: anyDigest() }
  return { jwk, kid: thumbprintOf(jwk), use: 'sign', state: 'current', ...overrides } as MemberKey
}

export function makeMember(id: string, overrides: Partial<Member> = {}): Member {
  return {
    id,
    name: `Member ${id}`,
    kind: 'hotline',
    status: 'full',
    countries: [],
    orphanMandate: false,
    endpoints: [{ use: 'federation', url: `https://${id}.example` }],
    certificates: [{ fingerprint: anyDigest(), notBefore: at(-dayMs), notAfter: at(300 * dayMs), state: 'current' }],
    keys: [makeKey(), makeKey({ use: 'encrypt' })],
    versions: [1],
    reportingUrl: null,
    contact: null,
    joinedAt: at(-300 * dayMs),
    ...overrides,
  }
}

export function makeRoute(country: string, primary: string, overrides: Partial<Route> = {}): Route {
  return { country, primary, also: [], policy: 'primary', backup: null, from: at(-300 * dayMs), until: null, ...overrides }
}

export function makeDirectory(overrides: Partial<Directory> = {}): Directory {
  return {
    version: 1,
    previous: null,
    issuedAt: at(-3600_000),
    expires: at(29 * dayMs),
    refreshSeconds: 30,
    members: [makeMember('hotline-gb'), makeMember('hotline-se'), makeMember('hotline-jp')],
    routes: [makeRoute('GB', 'hotline-gb'), makeRoute('SE', 'hotline-se', { backup: 'hotline-gb' })],
    policy: { minVersion: 1 },
    ...overrides,
  }
}
