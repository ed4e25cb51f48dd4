// What the doctor says: one finding for each thing it looked at, in plain words, with what to do about it.
import { CrosslineError } from '#errors.ts'

export interface Finding {
  check: string
  /** warning: it works and wants attention; failed: it doesn't work, or a promise of the node does not hold. */
  result: 'ok' | 'warning' | 'failed'
  says: string
  advice?: string
}

export const ok = (check: string, says: string): Finding => ({ check, result: 'ok', says })
export const warning = (check: string, says: string, advice: string): Finding => ({ check, result: 'warning', says, advice })
export const failed = (check: string, says: string, advice: string): Finding => ({ check, result: 'failed', says, advice })

/** Findings of one examination; what throws is a finding too, so that one broken part hides no other. */
export async function collect(check: string, advice: string, look: () => Promise<Finding[]> | Finding[]): Promise<Finding[]> {
  try {
    return await look()
  } catch (error) {
    return [failed(check, describeError(error), advice)]
  }
}

export function describeError(error: unknown): string {
  if (error instanceof CrosslineError) return error.detail ?? error.message
  const { name, code } = error as { name?: string; code?: string }
  return `It could not be examined: ${name ?? 'Error'}${code ? ` (${code})` : ''}.`
}

const seconds = (count: number): string => amount(count, 'second')
export const days = (count: number): string => amount(count, 'day')

/** `1 day`, `2 days`. */
function amount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** How two clocks agree. More than 5 s apart is a warning; more than 60 s apart and proofs are refused. */
export function judgeSkew(check: string, who: string, skewS: number): Finding {
  const apart = Math.abs(skewS)
  if (apart <= 5) return ok(check, `Agrees with ${who} to within 5 seconds.`)
  const says = `The clock of ${who} is ${seconds(Math.round(apart))} ${skewS > 0 ? 'ahead of' : 'behind'} this machine.`
  const advice = 'Let both machines take their time from NTP: beyond 60 seconds calls are refused.'
  return apart > 60 ? failed(check, says, advice) : warning(check, says, advice)
}
