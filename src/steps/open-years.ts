// The logs of a bundle, one for each year: the checkpoint under the policy, and the tree that it signs, with tiles out of the bundle.

import { type Tile, tilePath } from '#domain/tiles.ts'
import type { LastNote } from '#domain/time-bracket.ts'
import type { Policy } from '#domain/tlog-policy.ts'
import type { Faults } from '#domain/verdict.ts'
import type { VerifiedLog } from '#domain/verification.ts'
import { openTree, type VerifiedTree } from '#domain/verified-tiles.ts'
import { CrosslineError } from '#errors.ts'
import { maxSmallMember } from './check-members.ts'
import { type CheckedNote, checkNote } from './check-note.ts'
import { type MemberPlace, type OpenBundle, readMember } from './read-bundle.ts'

/** A log whose checkpoint could be read. What is wrong with it stands in the faults already. */
export interface OpenYear extends VerifiedLog {
  year: string
  tree: VerifiedTree
  /** By which nothing in it may be dated later. */
  last: LastNote
}

/** Opens each year's log, oldest first. Throws `broken_file` when something of a year has no checkpoint beside it. */
export function openYears(
  bundle: OpenBundle,
  { policy, faults, member }: { policy: Policy; faults: Faults; member: string | undefined },
): OpenYear[] {
  const years = [...bundle.members.keys()].flatMap((name) => /^([0-9]{4})\/checkpoint$/.exec(name)?.[1] ?? [])
  refuseStrays(bundle, new Set(years))
  if (years.length === 0) faults.add({ stage: 'read', kind: 'incomplete', says: 'There is no checkpoint in the bundle.' })
  return years.sort().flatMap((year) => {
    const note = readMember(bundle, bundle.members.get(`${year}/checkpoint`) as MemberPlace, maxSmallMember)
    const checked = checkNote(note, policy, (says) => faults.add({ stage: 'read', kind: 'unreadable', says }))
    if (!checked) return []
    for (const fault of checked.faults) faults.add(fault)
    const { origin } = checked.checkpoint
    if (!origin.endsWith(`/audit/${year}`) || (member !== undefined && origin !== `${member}/audit/${year}`))
      faults.add({
        stage: 'read',
        kind: 'tampered',
        log: origin,
        says: 'The checkpoint is that of another log than the bundle says.',
      })
    return [describeYear(year, checked, (tile) => readTile(bundle, year, tile))]
  })
}

// Entries or tiles without a checkpoint beside them would be looked at by nobody.
function refuseStrays(bundle: OpenBundle, years: ReadonlySet<string>): void {
  if (bundle.isCut) return
  for (const name of bundle.members.keys())
    if (/^[0-9]/.test(name) && !years.has(name.slice(0, 4)))
      throw new CrosslineError('broken_file', { detail: 'Not a bundle: a year in it has no checkpoint.' })
}

/** A log with its tree, from a checked note. `read` gives tiles. */
export function describeYear(year: string, checked: CheckedNote, read: (tile: Tile) => Buffer | undefined): OpenYear {
  const { checkpoint, witnesses, witnessed, needed, of } = checked
  const { origin, size, root } = checkpoint
  return {
    year,
    origin,
    size,
    root: root.toString('base64'),
    tree: openTree(checkpoint, read),
    witnesses: witnesses.map(({ name, at }) => ({ name, at: at.toISOString() })),
    witnessed,
    needed,
    of,
    entries: 0,
    last: lastNote(checked),
  }
}

/** What a checkpoint says of the dates in its tree. */
export function lastNote({ checkpoint, witnesses, moment }: CheckedNote): LastNote {
  const [first] = witnesses.map(({ at }) => at).sort((one, other) => one.getTime() - other.getTime())
  return { size: checkpoint.size, first, moment }
}

function readTile(bundle: OpenBundle, year: string, tile: Tile): Buffer | undefined {
  const place = bundle.members.get(`${year}/${tilePath(tile)}`)
  return place && readMember(bundle, place, maxSmallMember)
}
