// What a verification of a log tells, as data: the same for a bundle and for a database. report-verification.ts puts it into words.

import type { CheckCounts } from './log-check.ts'
import type { Fault, VerdictKind } from './verdict.ts'

/** One log, by the checkpoint that it was verified under. */
export interface VerifiedLog {
  origin: string
  size: number
  /** base64, as in the checkpoint. */
  root: string
  /** By their names in the policy; `at` is each witness's own clock. */
  witnesses: { name: string; at: string }[]
  /** How many witnesses cosigned, how many the policy asks for at least, and of how many it knows. */
  witnessed: number
  needed: number
  of: number
  /** Entries of it that were checked. */
  entries: number
}

/** What nothing is left out of. */
export type Complete = 'item' | 'country' | 'log' | 'none'

export interface Verification {
  verdict: VerdictKind
  /** The first few of each kind; the very first is the one to tell. */
  faults: Fault[]
  faultCount: number
  logs: VerifiedLog[]
  counts: CheckCounts & { items: number }
  /** What the bundle says of itself; nothing proves it. */
  manifest: { member: string; createdAt: string; filter: unknown; scope: unknown } | undefined
  /** Proven; `none` also when anything is wrong. */
  complete: Complete
  /** Whether the policy inside the bundle is the one that was given. */
  bundlePolicy: 'same' | 'other' | 'absent'
  /** Whether the log is an extension of the older checkpoint that was given. */
  since: 'not asked' | 'extended' | 'not proven'
}
