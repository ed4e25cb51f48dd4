// One at a time for each name, in the order in which they came; a bounded number waits, and more are sent away before they cost anything.
import { CrosslineError } from '#errors.ts'

export interface Turns {
  /** Does the work when it is its turn. Throws `overloaded` at once when too many wait already. */
  inTurn<T>(name: string, work: () => Promise<T>): Promise<T>
}

const retryAfterS = 5

export function createTurns({ maxWaiting }: { maxWaiting: number }): Turns {
  const queues = new Map<string, (() => void)[]>()

  function leave(name: string, waiting: (() => void)[]): void {
    const next = waiting.shift()
    if (next) next()
    else queues.delete(name)
  }

  return {
    async inTurn(name, work) {
      const running = queues.get(name)
      if (running && running.length >= maxWaiting) throw new CrosslineError('overloaded', { retryAfterS })
      const waiting = running ?? []
      if (running) await new Promise<void>((resolve) => waiting.push(resolve))
      else queues.set(name, waiting)
      try {
        return await work()
      } finally {
        leave(name, waiting)
      }
    },
  }
}
