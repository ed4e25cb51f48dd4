// When to try a peer again: a pure function of how long it has been failing. Nothing is ever dropped: at the end a person decides.
const secondMs = 1000
const hourMs = 3600 * secondMs
const dayMs = 24 * hourMs
const maxDelayMs = 15 * 60 * secondMs

export type Retry = { kind: 'wait'; delayMs: number } | { kind: 'person' }

/** What is known of a destination's failures. */
export interface FailureRun {
  /** Failures in a row, this one included: 1, 2, 3 … */
  failures: number
  /** How long the run lasts, milliseconds. */
  failingForMs: number
  /** Seconds that the peer asked us to wait. */
  askedS?: number
  /** A number in [0, 1): full jitter, so that many senders don't come back at the same moment. */
  random: number
}

/** 5 s doubling to 15 min with full jitter for 3 days, then hourly to day 30, then a person. A wait that was asked for is obeyed, at most 15 min. */
export function nextRetry({ failures, failingForMs, askedS, random }: FailureRun): Retry {
  if (failingForMs >= 30 * dayMs) return { kind: 'person' }
  const asked = Math.min((askedS ?? 0) * secondMs, maxDelayMs)
  if (failingForMs >= 3 * dayMs) return { kind: 'wait', delayMs: Math.max(hourMs, asked) }
  const ceiling = Math.min(5 * secondMs * 2 ** Math.min(failures - 1, 20), maxDelayMs)
  return { kind: 'wait', delayMs: Math.max(Math.round(ceiling * random), asked, 250) }
}
