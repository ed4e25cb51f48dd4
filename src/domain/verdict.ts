// What a verification found, and what that makes of the whole: one verdict, one exit code, and the first fault in the order in which
// audit.md checks. Nothing here decides whether something is a fault; it only keeps, counts and orders.

/** The checks in their order. */
export const stages = ['read', 'quorum', 'signature', 'root', 'inclusion', 'consistency', 'chain', 'disclosure', 'time'] as const
export type Stage = (typeof stages)[number]

export type FaultKind = 'unreadable' | 'tampered' | 'incomplete'

export interface Fault {
  stage: Stage
  kind: FaultKind
  /** The log that it is in. */
  log?: string
  /** Leaf index of the entry at fault. */
  index?: number
  /** One sentence, without a value from the input. */
  says: string
}

export type VerdictKind = 'valid' | FaultKind

/** 0 valid, 1 tampered, 2 incomplete or below quorum, 3 unreadable. */
export const exitCodes: Record<VerdictKind, 0 | 1 | 2 | 3> = { valid: 0, tampered: 1, incomplete: 2, unreadable: 3 }

export interface Faults {
  add(fault: Fault): void
  /** How many there were, kept or not. */
  readonly count: number
  /** The first few of each kind and stage, first the one to tell. */
  list(): Fault[]
  verdict(): VerdictKind
}

// What can't be read is told before what it would have said; an alteration weighs more than a gap.
const weight: readonly FaultKind[] = ['unreadable', 'tampered', 'incomplete']
const keptOfEach = 3

/** Keeps the first faults of each kind and stage; a million of them need no more memory. */
export function collectFaults(): Faults {
  const kept = new Map<string, Fault[]>()
  let count = 0
  const list = () => weight.flatMap((kind) => stages.flatMap((stage) => kept.get(`${kind} ${stage}`) ?? []))
  return {
    get count() {
      return count
    },
    add: (fault) => {
      count++
      const name = `${fault.kind} ${fault.stage}`
      const alike = kept.get(name) ?? []
      kept.set(name, alike)
      if (alike.length < keptOfEach) alike.push(fault)
    },
    list,
    verdict: () => list()[0]?.kind ?? 'valid',
  }
}
