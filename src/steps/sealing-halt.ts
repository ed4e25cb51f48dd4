// What stops the sealer until a person has looked. Thrown inside a pass, whose transaction it takes back.
import type { HaltReason } from './sealing.ts'

/** Facts are ids, years, sizes and levels only. */
export type HaltFacts = Record<string, string | number>

export class SealingHalt extends Error {
  readonly why: HaltReason
  readonly facts: HaltFacts

  constructor(why: HaltReason, facts: HaltFacts = {}) {
    super(`sealing must halt: ${why}`)
    this.name = 'SealingHalt'
    this.why = why
    this.facts = facts
  }
}
