// C2SP tlog-witness, the body of add-checkpoint: `old <size>`, the consistency proof from there line by line, an empty line, the note.
import { CrosslineError } from '#errors.ts'
import { parseDecimal, parseHash } from './exact-text.ts'

export interface AddCheckpoint {
  /** Size that the sender takes the witness to hold; 0 before the first time. */
  old: number
  path: readonly Buffer[]
  /** The signed note, as text. */
  note: string
}

const maxPath = 63

/** Throws `malformed_request` for anything but the exact form; what the note says is not looked at. */
export function parseAddCheckpoint(body: Uint8Array): AddCheckpoint {
  const text = decode(body)
  const end = text.indexOf('\n\n')
  if (end < 0) throw refusal('no empty line stands before the note')
  const [first = '', ...lines] = text.slice(0, end).split('\n')
  const old = first.startsWith('old ') ? parseDecimal(first.slice(4)) : undefined
  if (old === undefined) throw refusal('the first line does not name the old size')
  if (lines.length > maxPath) throw refusal('the proof has too many lines')
  const path = lines.map((line) => parseHash(line) ?? refuse('a line of the proof is not a hash'))
  return { old, path, note: text.slice(end + 2) }
}

export function formatAddCheckpoint({ old, path, note }: AddCheckpoint): string {
  return `old ${old}\n${path.map((hash) => `${hash.toString('base64')}\n`).join('')}\n${note}`
}

function decode(body: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
  } catch {
    throw refusal('it is not UTF-8')
  }
}

function refuse(why: string): never {
  throw refusal(why)
}

const refusal = (why: string): CrosslineError =>
  new CrosslineError('malformed_request', { detail: `Not an add-checkpoint request: ${why}.` })
