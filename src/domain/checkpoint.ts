// C2SP tlog-checkpoint: what a log signs about its tree, as three lines. Text to value and back without a byte of difference.
// Extension lines are refused: no log of this network writes any, and nobody could check what they say.

import { CrosslineError } from '#errors.ts'
import { parseDecimal, parseHash } from './exact-text.ts'
import { merkleRoot } from './merkle.ts'
import { checkKeyName } from './signed-note.ts'

/** The state of one log: all its first `size` leaves have this root. */
export interface Checkpoint {
  /** The name of the log and of the key that signs for it. */
  origin: string
  size: number
  /** 32 bytes. */
  root: Buffer
}

/** The text that is signed: origin, size and root, a line each. Throws `bad_checkpoint` for values that no checkpoint has. */
export function formatCheckpoint(checkpoint: Checkpoint): string {
  refuseImpossible(checkpoint)
  return `${checkpoint.origin}\n${checkpoint.size}\n${checkpoint.root.toString('base64')}\n`
}

/** Reads the text of a checkpoint. Throws `bad_checkpoint` for anything but its exact form. */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', sizeText = '', rootText = '', rest, ...more] = text.split('\n')
  if (rest !== '' || more.length > 0) throw refusal('it has not exactly three lines')
  const size = parseDecimal(sizeText)
  const root = parseHash(rootText)
  if (size === undefined) throw refusal('the size is not a number from 0 to 2^53 - 1')
  if (!root) throw refusal('the root is not a hash')
  const checkpoint = { origin, size, root }
  refuseImpossible(checkpoint)
  return checkpoint
}

function refuseImpossible({ origin, size, root }: Checkpoint): void {
  checkKeyName(origin)
  if (!Number.isSafeInteger(size) || size < 0) throw refusal('the size is not a number from 0 to 2^53 - 1')
  if (root.length !== 32) throw refusal('the root is not a hash')
  if (size === 0 && !root.equals(merkleRoot([]))) throw refusal('the empty tree has another root')
}

const refusal = (why: string): CrosslineError => new CrosslineError('bad_checkpoint', { detail: `Not a checkpoint: ${why}` })
