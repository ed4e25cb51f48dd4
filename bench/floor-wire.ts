// What both processes of the floor agree on: the lines of a batch, its Merkle root (RFC 9162), the two tokens.
import { createHash, type KeyObject } from 'node:crypto'
import { jwtVerify, SignJWT } from 'jose'

const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

export const leafOf = (line: Uint8Array): Buffer => sha256(Buffer.of(0), line)

export function rootOf(leaves: readonly Buffer[]): Buffer {
  let level = [...leaves]
  while (level.length > 1) {
    const above: Buffer[] = []
    for (let at = 0; at < level.length; at += 2) {
      const left = level[at] as Buffer
      const right = level[at + 1]
      above.push(right ? sha256(Buffer.of(1), left, right) : left)
    }
    level = above
  }
  return level[0] ?? sha256()
}

/** The audit rows of these items: their bytes and the hash of each. */
export function auditColumns(event: string, ids: readonly string[], leaves: readonly Buffer[]): [Buffer[], Buffer[]] {
  const at = new Date().toISOString()
  const entries = ids.map((id, n) =>
    Buffer.from(JSON.stringify({ at, event, from: 'a', id, leaf: leaves[n]?.toString('base64url'), to: 'b', v: 1 })),
  )
  return [entries, entries.map(leafOf)]
}

export interface Claims {
  batch: string
  root: string
  size: number
  [claim: string]: unknown
}

export function signToken(key: KeyObject, claims: Claims): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).setIssuedAt().setExpirationTime('2m').sign(key)
}

/** Throws unless the signature holds and the token names this batch, root and size. */
export async function verifyToken(key: KeyObject, token: string, expected: Claims): Promise<void> {
  const { payload } = await jwtVerify(token, key, { algorithms: ['ES256'] })
  for (const name of ['batch', 'root', 'size'] as const)
    if (payload[name] !== expected[name]) throw new Error(`the ${name} differs`)
}
