// The last member of a bundle: what it claims to hold, and the digest of each other member. Nothing in it proves anything; it shows that
// a copy was cut off or damaged, and says what was asked for.

import { hash } from 'node:crypto'
import { CrosslineError } from '#errors.ts'
import { timePattern } from './entry-text.ts'
import { findFormFault, isCount, isDigest, isMemberId, isObject } from './exact-forms.ts'
import { skipJcs } from './jcs-text.ts'
import { parseStrictObject } from './strict-json.ts'

const bundleKind = 'crossline-audit-bundle'
export const manifestName = 'manifest.json'

export interface BundleMember {
  name: string
  bytes: number
  /** base64url */
  sha256: string
}

export interface BundleManifest {
  member: string
  createdAt: string
  filter: unknown
  scope: unknown
  /** What it claims that nothing is left out of. */
  complete: 'item' | 'country' | 'log' | 'none'
  entries: number
  members: BundleMember[]
}

const time = new RegExp(`^${timePattern}$`)
const isText = (value: unknown): value is string => typeof value === 'string'
const memberForm = { required: { name: isText, bytes: isCount, sha256: isDigest } }
const form = {
  required: {
    v: (value: unknown) => value === 1,
    kind: (value: unknown) => value === bundleKind,
    member: isMemberId,
    createdAt: (value: unknown) => isText(value) && time.test(value),
    filter: () => true,
    scope: () => true,
    complete: (value: unknown) => isText(value) && ['item', 'country', 'log', 'none'].includes(value),
    entries: isCount,
    members: (value: unknown) =>
      Array.isArray(value) && value.every((each) => isObject(each) && !findFormFault(each, memberForm)),
  },
  optional: { digest: isDigest },
}
// Canonical JSON is sorted: nothing but these two can stand before the digest, and neither can hold a quotation mark.
const digestMember = /^(\{"complete":"[a-z]+","createdAt":"[^"]*"),"digest":"([^"]*)"/

/** Reads a manifest. Throws `broken_file`; also when it holds its own digest and that is another. */
export function parseManifest(bytes: Buffer): BundleManifest {
  const text = bytes.toString('utf8').replace(/\n$/, '')
  const value = attempt(() => (skipJcs(text, 0) === text.length ? parseStrictObject(bytes) : undefined))
  if (value === undefined || findFormFault(value, form)) throw refusal('does not have its form')
  if (value.digest !== undefined && ownDigest(text) !== value.digest)
    throw refusal('was changed: it is not what its own digest says')
  return value as unknown as BundleManifest
}

/** SHA-256, base64url, of a manifest's canonical text without its member `digest`. */
function ownDigest(text: string): string {
  return hash('sha256', text.replace(digestMember, '$1'), 'base64url')
}

function attempt<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}

const refusal = (why: string): CrosslineError =>
  new CrosslineError('broken_file', { detail: `The manifest of the bundle ${why}.` })
