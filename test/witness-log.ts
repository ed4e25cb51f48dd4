// A log of an independent member, written from C2SP's texts and RFC 6962 alone: it signs checkpoints, proves growth and can lie about both.
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { memberFiles } from '#commands/dev-files.ts'
import { auditKeyFile } from '#crypto/audit-keys.ts'

const hashOf = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()

/** The key of a member's log, as `certs dev` made it. */
export function readAuditKey(folder: string, id: string): KeyObject {
  return createPrivateKey(readFileSync(auditKeyFile(memberFiles(folder, id).audit, new Date().getUTCFullYear())))
}

function rawKey(key: KeyObject): Buffer {
  return Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x ?? '', 'base64url')
}

function keyId(name: string, type: number, key: KeyObject): Buffer {
  return hashOf(Buffer.from(`${name}\n`), Buffer.of(type), rawKey(key)).subarray(0, 4)
}

/** `<name>+<key id>+<key>`, as a policy file holds it. */
export function verifierKey(name: string, type: 1 | 4, key: KeyObject): string {
  return `${name}+${keyId(name, type, key).toString('hex')}+${Buffer.concat([Buffer.of(type), rawKey(key)]).toString('base64')}`
}

export function signNote(text: string, { name, key }: { name: string; key: KeyObject }): string {
  const signature = Buffer.concat([keyId(name, 1, key), sign(null, Buffer.from(text), key)])
  return `${text}\n— ${name} ${signature.toString('base64')}\n`
}

/** One cosignature/v1 line. */
export function cosign(text: string, { name, key, seconds }: { name: string; key: KeyObject; seconds: number }): string {
  const time = Buffer.alloc(8)
  time.writeBigUInt64BE(BigInt(seconds))
  const signature = sign(null, Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`), key)
  return `— ${name} ${Buffer.concat([keyId(name, 4, key), time, signature]).toString('base64')}\n`
}

/** The time that a cosignature line states, if it verifies under a key; undefined otherwise. */
export function readCosignature(text: string, line: string, { name, key }: { name: string; key: KeyObject }): number | undefined {
  const [, by, encoded = ''] = /^— (\S+) (\S+)\n$/.exec(line) ?? []
  const bytes = Buffer.from(encoded, 'base64')
  if (by !== name || bytes.length !== 76 || !bytes.subarray(0, 4).equals(keyId(name, 4, key))) return undefined
  const seconds = Number(bytes.readBigUInt64BE(4))
  const signed = Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`)
  return verify(null, signed, createPublicKey(key), bytes.subarray(12)) ? seconds : undefined
}

/** Leaves by their names; the same names give the same tree. */
export interface TestLog {
  origin: string
  grow(...names: string[]): void
  size(): number
  root(size?: number): Buffer
  text(size?: number): string
  note(size?: number): string
  proof(first: number, second?: number): Buffer[]
  /** The body of add-checkpoint. */
  body(old: number, change?: { size?: number; path?: Buffer[]; note?: string }): string
}

export function makeLog(origin: string, key: KeyObject, names: readonly string[] = []): TestLog {
  const leaves = names.map(leafOf)
  const log: TestLog = {
    origin,
    grow: (...more) => void leaves.push(...more.map(leafOf)),
    size: () => leaves.length,
    root: (size = leaves.length) => treeHash(leaves.slice(0, size)),
    text: (size = leaves.length) => `${origin}\n${size}\n${log.root(size).toString('base64')}\n`,
    note: (size = leaves.length) => signNote(log.text(size), { name: origin, key }),
    proof: (first, second = leaves.length) => (first === 0 ? [] : subProof(first, leaves.slice(0, second), true)),
    body: (old, { size = leaves.length, path = log.proof(old, size), note = log.note(size) } = {}) =>
      `old ${old}\n${path.map((hash) => `${hash.toString('base64')}\n`).join('')}\n${note}`,
  }
  return log
}

const leafOf = (name: string): Buffer => hashOf(Buffer.of(0), Buffer.from(name))
const split = (n: number): number => 2 ** Math.ceil(Math.log2(n) - 1)

function treeHash(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return hashOf()
  if (leaves.length === 1) return leaves[0] as Buffer
  const k = split(leaves.length)
  return hashOf(Buffer.of(1), treeHash(leaves.slice(0, k)), treeHash(leaves.slice(k)))
}

// RFC 6962 §2.1.2, SUBPROOF(m, D[n], b).
function subProof(m: number, leaves: readonly Buffer[], isWhole: boolean): Buffer[] {
  if (m >= leaves.length) return isWhole ? [] : [treeHash(leaves)]
  const k = split(leaves.length)
  return m <= k
    ? [...subProof(m, leaves.slice(0, k), isWhole), treeHash(leaves.slice(k))]
    : [...subProof(m - k, leaves.slice(k), false), treeHash(leaves.slice(0, k))]
}
