// An independent peer, written from the protocol alone: its own signatures, Merkle tree and lines, nothing of src/crypto or src/domain.
// It is what an integrator would write, and every part of a call can be bent before it goes out.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  randomUUIDv7,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto'
import { readFileSync } from 'node:fs'
import { authorityFiles, memberFiles, networkFiles } from '#commands/dev-files.ts'

export const sha256 = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('base64url')
const b64 = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A clock that a test moves: the node and its peer read the same. */
export interface Clock {
  now(): Date
  advance(ms: number): void
}

export function makeClock(): Clock {
  let aheadMs = 0
  return {
    now: () => new Date(Date.now() + aheadMs),
    advance: (ms) => {
      aheadMs += ms
    },
  }
}

export const seconds = (clock: Clock): number => Math.floor(clock.now().getTime() / 1000)

/** What a member holds: certificate and key for TLS, and the key that signs. */
export interface Identity {
  id: string
  cert: string
  key: string
  ca: string
  fingerprint: string
  signKey: KeyObject
  kid: string
}

export function readIdentity(folder: string, id: string): Identity {
  const files = memberFiles(folder, id)
  const cert = readFileSync(files.node.certificate, 'utf8')
  const signKey = createPrivateKey(readFileSync(files.sign))
  return {
    id,
    cert,
    key: readFileSync(files.node.key, 'utf8'),
    ca: readFileSync(authorityFiles(folder).certificate, 'utf8'),
    fingerprint: sha256(new X509Certificate(cert).raw),
    signKey,
    kid: thumbprint({ ...createPublicKey(signKey).export({ format: 'jwk' }) }),
  }
}

/** RFC 7638. */
export function thumbprint({ crv, kty, x, y }: Record<string, unknown>): string {
  return sha256(JSON.stringify({ crv, kty, x, y }))
}

/** The directory as an integrator reads it: the payload of the signed file, unverified. */
export interface ReadDirectory {
  version: number
  hash: string
  bytes: Buffer
  // biome-ignore lint/suspicious/noExplicitAny: a peer's view of somebody else's JSON
  document: any
}

export function readDirectory(folder: string): ReadDirectory {
  return openDirectory(readFileSync(networkFiles(folder).directory))
}

export function openDirectory(bytes: Buffer): ReadDirectory {
  const document = JSON.parse(Buffer.from(JSON.parse(bytes.toString()).payload, 'base64url').toString())
  return { version: document.version, hash: sha256(bytes), bytes, document }
}

export function portOf({ document }: ReadDirectory, id: string): number {
  const member = document.members.find((each: { id: string }) => each.id === id)
  return Number(new URL(member.endpoints[0].url).port)
}

function keyOf({ document }: ReadDirectory, id: string, kid: string): KeyObject {
  const member = document.members.find((each: { id: string }) => each.id === id)
  const found = member?.keys.find((each: { kid: string; use: string }) => each.kid === kid && each.use === 'sign')
  if (!found) throw new Error('no such key in the directory')
  return createPublicKey({ key: found.jwk, format: 'jwk' })
}

// ---- tokens ----

export type Claims = Record<string, unknown>

/** Signs text parts as they are given, so that a test can bend the bytes under a good signature. */
export function signParts(header: string, payload: string, key: KeyObject): string {
  const input = `${b64(header)}.${b64(payload)}`
  return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

export function signClaims(by: Pick<Identity, 'signKey' | 'kid'>, typ: string, claims: Claims, header: object = {}): string {
  return signParts(JSON.stringify({ alg: 'ES256', typ, kid: by.kid, ...header }), JSON.stringify(claims), by.signKey)
}

/** Reads a token of the node: form, header, signature under a key of the directory. Throws for anything else. */
export function readToken(compact: unknown, typ: string, from: { directory: ReadDirectory; id: string }): Claims {
  if (typeof compact !== 'string') throw new Error(`no ${typ}`)
  const parts = compact.split('.')
  if (parts.length !== 3) throw new Error('not three parts')
  if (parts.some((part) => Buffer.from(part, 'base64url').toString('base64url') !== part)) throw new Error('not base64url')
  const [header = '', payload = '', signature = ''] = parts
  const { alg, typ: own, kid, ...rest } = JSON.parse(Buffer.from(header, 'base64url').toString())
  if (alg !== 'ES256' || own !== typ || Object.keys(rest).length > 0) throw new Error(`the header is not that of a ${typ}`)
  const key = { key: keyOf(from.directory, from.id, kid), dsaEncoding: 'ieee-p1363' as const }
  if (!verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url')))
    throw new Error('bad signature')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  if (claims.iss !== from.id) throw new Error('another issuer')
  return claims
}

export const randomId = (): string => randomBytes(16).toString('base64url')

/** What a proof is about. */
export interface ProofFacts {
  aud: string
  method: string
  path: string
  body: Uint8Array | string
  clock: Clock
  directory: Pick<ReadDirectory, 'version' | 'hash'>
  lines?: readonly Buffer[]
}

export function proofClaims(by: Identity, { aud, method, path, body, clock, directory, lines }: ProofFacts): Claims {
  const iat = seconds(clock)
  return {
    iss: by.id,
    aud,
    iat,
    exp: iat + 120,
    jti: randomId(),
    htm: method,
    htu: path,
    dig: sha256(body),
    cnf: { 'x5t#S256': by.fingerprint },
    dir: `${directory.version}:${directory.hash}`,
    ...(lines === undefined ? {} : { root: rootOf(lines), size: lines.length }),
  }
}

export const proofTyp = 'crossline-proof+jwt'

// ---- Merkle tree, by the definitions of RFC 9162 §2.1.1 and §2.1.3 ----

const hashOf = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()
export const leafOf = (line: Uint8Array): Buffer => hashOf(Buffer.of(0), line)
const split = (n: number): number => 2 ** Math.ceil(Math.log2(n) - 1)

function treeHash(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0] as Buffer
  const k = split(leaves.length)
  return hashOf(Buffer.of(1), treeHash(leaves.slice(0, k)), treeHash(leaves.slice(k)))
}

export const rootOf = (lines: readonly Buffer[]): string => treeHash(lines.map(leafOf)).toString('base64url')

function pathTo(index: number, leaves: readonly Buffer[]): Buffer[] {
  if (leaves.length === 1) return []
  const k = split(leaves.length)
  return index < k
    ? [...pathTo(index, leaves.slice(0, k)), treeHash(leaves.slice(k))]
    : [...pathTo(index - k, leaves.slice(k)), treeHash(leaves.slice(0, k))]
}

export function inclusionOf(lines: readonly Buffer[], index: number): string[] {
  return pathTo(index, lines.map(leafOf)).map((node) => node.toString('base64url'))
}

/** The root that a path leads to: the same recursion, backwards. */
export function followPath(
  leaf: Buffer,
  { index, size, path }: { index: number; size: number; path: readonly string[] },
): string {
  const climb = (at: number, n: number, rest: readonly string[]): Buffer => {
    if (n === 1) {
      if (rest.length > 0) throw new Error('the path is too long')
      return leaf
    }
    const sibling = Buffer.from(rest.at(-1) ?? '', 'base64url')
    if (sibling.length !== 32) throw new Error('the path is too short')
    const k = split(n)
    return at < k
      ? hashOf(Buffer.of(1), climb(at, k, rest.slice(0, -1)), sibling)
      : hashOf(Buffer.of(1), sibling, climb(at - k, n - k, rest.slice(0, -1)))
  }
  return climb(index, size, path).toString('base64url')
}

export const newId = (): string => randomUUIDv7()
