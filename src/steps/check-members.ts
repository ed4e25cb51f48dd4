// The bundle as a container: its manifest, the names and digests of its members, and the policy that it brings. None of it is trusted;
// it tells a damaged or truncated copy from a whole one.
import { createHash } from 'node:crypto'
import { type BundleManifest, manifestName, parseManifest } from '#domain/bundle-manifest.ts'
import type { Faults } from '#domain/verdict.ts'
import { type MemberPlace, type OpenBundle, readMember, readPieces } from './read-bundle.ts'

/** The largest member that is read whole, besides the manifest. */
export const maxSmallMember = 1 << 20
const maxManifest = 1 << 30

/** The manifest, or nothing where the bundle is cut off before it. Throws `broken_file` for one that is none. */
export function readManifest(bundle: OpenBundle, faults: Faults): BundleManifest | undefined {
  const place = bundle.members.get(manifestName)
  if (!place || bundle.isCut)
    faults.add({ stage: 'read', kind: 'incomplete', says: 'The bundle is cut off: its end is missing.' })
  if (!place) return undefined
  if ([...bundle.members.keys()].at(-1) !== manifestName)
    faults.add({ stage: 'read', kind: 'tampered', says: 'Something was put into the bundle behind its manifest.' })
  return parseManifest(readMember(bundle, place, maxManifest))
}

/** Compares what is there with what the manifest names. Gives the digests of the entries' members, which are hashed while they are read. */
export function checkMembers(
  bundle: OpenBundle,
  manifest: BundleManifest | undefined,
  { faults, onBytes }: { faults: Faults; onBytes: (count: number) => void },
): ReadonlyMap<string, string> {
  const digests = new Map<string, string>()
  if (!manifest) return digests
  const add = (kind: 'tampered' | 'incomplete', says: string) => faults.add({ stage: 'read', kind, says })
  const listed = new Map(manifest.members.map((member) => [member.name, member]))
  for (const place of bundle.members.values()) {
    if (place.name === manifestName) continue
    const claim = listed.get(place.name)
    listed.delete(place.name)
    if (!claim) add('tampered', 'The bundle holds a file that its manifest does not name.')
    else if (claim.bytes !== place.size) add('tampered', 'A file of the bundle has not the length that the manifest says.')
    else if (isEntries(place)) digests.set(place.name, claim.sha256)
    else checkDigest(digestOf(bundle, place, onBytes), claim.sha256, faults)
  }
  if (listed.size > 0) add('incomplete', 'A file that the manifest names is not in the bundle.')
  return digests
}

/** The lines of entries; a table for people beside them is compared with them (check-table.ts). */
export const isEntries = ({ name }: MemberPlace): boolean => /^[0-9]{4}\/entries\/[0-9]{6}\.ndjson$/.test(name)

export function checkDigest(digest: string, claimed: string, faults: Faults): void {
  if (digest !== claimed)
    faults.add({ stage: 'read', kind: 'tampered', says: 'A file of the bundle was changed: it is not what the manifest says.' })
}

/** Whether the bundle brings the policy that was given; only told, never used. */
export function comparePolicy(bundle: OpenBundle, policy: Buffer): 'same' | 'other' | 'absent' {
  const place = bundle.members.get('policy.txt')
  if (!place) return 'absent'
  return readMember(bundle, place, maxSmallMember).equals(policy) ? 'same' : 'other'
}

function digestOf(bundle: OpenBundle, place: MemberPlace, onBytes: (count: number) => void): string {
  const digest = createHash('sha256')
  for (const piece of readPieces(bundle, place)) {
    digest.update(piece)
    onBytes(piece.length)
  }
  return digest.digest('base64url')
}
