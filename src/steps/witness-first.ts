// Whether a process that has just started may sign already: not before its witnesses were asked about the newest checkpoint that it holds.
// A database and a DATA_DIR that were restored together contradict nothing here; only a witness knows that more was signed.
import { parseOrigin, type WitnessMember } from '#domain/network-policy.ts'
import { describeQuorum } from '#domain/tlog-policy.ts'
import { findAuditPolicy, findWitnesses } from './audit-policy.ts'
import type { StepContext } from './context.ts'

export interface WitnessFirst {
  /** Once false it stays so: as many have answered as a quorum needs, or they had their time. A halt is not counted as time. */
  isWaiting(): boolean
  /** Who is still to be asked, whenever it failed last. */
  unanswered(): WitnessMember[]
  answered(member: string): void
}

/** Below the minute after which new work is refused: a node whose peers are all down works on. */
export const witnessPatienceMs = 30_000

/** For the log as it is now: one that has no checkpoint yet waits for nobody, nor does any with a patience of 0. */
export function createWitnessFirst(ctx: StepContext, patienceMs: number): WitnessFirst {
  const answers = new Set<string>()
  const unanswered = () => findWitnesses(ctx).filter(({ id }) => !answers.has(id))
  const origin = ctx.checkpoint()?.origin
  let isOpen = patienceMs === 0 || origin === undefined
  let since = performance.now()

  function isWaiting(): boolean {
    if (isOpen) return false
    if (ctx.sealing.halt) since = performance.now()
    const needed = countNeeded(ctx, origin)
    const isLate = performance.now() - since >= patienceMs
    isOpen = !ctx.sealing.halt && (answers.size >= needed || isLate)
    if (isOpen && answers.size < needed) goOn(ctx, { needed, answered: answers.size, unanswered: unanswered() })
    return !isOpen
  }

  return { isWaiting, unanswered, answered: (member) => void answers.add(member) }
}

function countNeeded(ctx: StepContext, origin = ''): number {
  const { policy } = findAuditPolicy(ctx, parseOrigin(origin)?.year ?? ctx.now().getUTCFullYear())
  return Math.min(describeQuorum(policy).needed, findWitnesses(ctx).length)
}

function goOn(
  { log, witnessBoard }: StepContext,
  { needed, answered, unanswered }: { needed: number; answered: number; unanswered: WitnessMember[] },
): void {
  log.error(
    { step: 'witness-first', needed, answered },
    'too few witnesses answered since the start: sealing goes on unasked, and a log that was taken back is noticed only later',
  )
  // They were asked every second, which is no reason to let them wait for the longest time now.
  for (const { id } of unanswered) {
    const state = witnessBoard.peer(id)
    Object.assign(state, { failures: Math.min(state.failures, 1), retryAt: undefined })
  }
}
