// A verification in plain words, on one page: for a liaison or a judge who knows nothing of trees. Says first what is wrong, then what was
// looked at, and always what is not proven.

import { sealingMs, toleranceMs } from './time-bracket.ts'
import type { Fault, VerdictKind } from './verdict.ts'
import type { Verification, VerifiedLog } from './verification.ts'

const headlines: Record<VerdictKind, string> = {
  valid: 'VALID: every entry that is here stands in the log as it was sealed, unaltered.',
  tampered: 'TAMPERED: this is not what was sealed.',
  incomplete: 'INCOMPLETE: what is here was not found to be altered, but it does not prove what it should.',
  unreadable: 'UNREADABLE: this can not be verified at all.',
}
const maxNotes = 12

/** The page, without a last newline. `what` names the thing: `bundle` or `log`. */
export function reportVerification(found: Verification, what: 'bundle' | 'log'): string {
  const paragraphs = [
    [headlines[found.verdict]],
    describeFaults(found),
    found.logs.map(describeLog),
    describeChecks(found, what),
    ['Not proven:', ...listUnproven(found, what).map((note) => `- ${note}`)],
  ]
  return paragraphs
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')
}

function describeFaults({ faults, faultCount }: Verification): string[] {
  const [first, ...more] = faults
  if (!first) return []
  const others = more.slice(0, maxNotes).map((fault) => `also: ${describeFault(fault)}`)
  const rest = faultCount - 1 - others.length
  return [`First fault: ${describeFault(first)}`, ...others, ...(rest > 0 ? [`and ${rest} more`] : [])]
}

function describeFault({ stage, log, index, says }: Fault): string {
  const place = [log, index === undefined ? undefined : `entry ${index}`].filter((part) => part !== undefined).join(', ')
  return `${says} [${[stage, place].filter((part) => part !== '').join('; ')}]`
}

function describeLog({ origin, size, root, witnesses, witnessed, needed, of, entries }: VerifiedLog): string {
  const names = witnesses.map(({ name, at }) => `${name} ${at}`).join(', ')
  return [
    `Log ${origin}: ${size} entries under root ${root}`,
    `  checked here: ${entries} entries`,
    `  witnessed ${witnessed} of ${of} (the policy asks for ${needed})${names === '' ? '' : `: ${names}`}`,
  ].join('\n')
}

function describeChecks({ counts, complete, since, bundlePolicy, manifest, verdict }: Verification, what: string): string[] {
  const lines = [
    `Checked: ${counts.entries} entries of ${counts.items} items, ${counts.disclosed} disclosed values; ${counts.seen} entries name an earlier checkpoint that was recomputed.`,
  ]
  lines.push(describeBrackets(counts))
  if (verdict === 'valid') lines.push(`Complete: ${completeWords[complete]}`)
  if (since !== 'not asked')
    lines.push(
      `The older checkpoint: ${since === 'extended' ? 'the log only grew since' : 'not proven to be the beginning of this log'}.`,
    )
  if (manifest) lines.push(`The ${what} says that it was made by ${manifest.member} at ${manifest.createdAt}.`)
  if (bundlePolicy === 'other') lines.push('The policy inside the bundle is another than the one given; the one given decided.')
  return lines
}

function describeBrackets({ entries, bracketed, widest }: Verification['counts']): string {
  const least = `Dates: ${bracketed} of ${entries} entries stand between two checkpoints that enough witnesses had signed`
  return widest ? `${least}, at most ${widest.seconds} s apart (${widest.log}, entry ${widest.index}).` : `${least}.`
}

const completeWords = {
  log: 'every entry of the log is here.',
  item: 'no entry of the item is left out up to the index that the log states; nothing is claimed of what came after it.',
  country: 'no item of the country is left out, and no entry of one, up to the index that the log states.',
  none: 'not claimed. Entries may have been left out of the selection.',
} as const

function listUnproven({ counts, complete, since, logs, manifest, verdict }: Verification, what: string): string[] {
  const notes = ['that what the entries state is true: only that it was stated then and not changed since']
  if (complete === 'none') notes.push('that nothing was left out')
  if (counts.gaps + counts.openStarts > 0) notes.push(`${counts.gaps + counts.openStarts} entries whose predecessor is not here`)
  if (counts.seen < counts.entries)
    notes.push(`what ${counts.entries - counts.seen} entries had seen: it is not here, or was the empty log`)
  if (logs.some(({ needed }) => needed === 0))
    notes.push('that anybody but the log itself vouches for it, or for when it was written: the policy asks for no witness')
  else notes.push(...listUndated(counts))
  notes.push(
    `dates closer than ${sealingMs / 1000} s before and ${toleranceMs / 1000} s after such checkpoints, and what a database noted beside an entry (recordedAt)`,
  )
  if (manifest) notes.push(`what the ${what} says of itself: when it was made, for whom, by which filter`)
  if (since === 'not asked' && verdict === 'valid')
    notes.push('that the log never showed anybody something else: compare with a checkpoint that you kept (--since)')
  return notes
}

function listUndated({ noEarlier, unusedNotes }: Verification['counts']): string[] {
  const notes: string[] = []
  if (noEarlier > 0)
    notes.push(
      `that ${noEarlier} entries were not dated back: no earlier checkpoint is here, as at the start of a log, or it was held back`,
    )
  if (unusedNotes > 0)
    notes.push(
      `anything by ${unusedNotes} checkpoints beside the entries: too few witnesses signed, or a key that the policy does not name`,
    )
  return notes
}
