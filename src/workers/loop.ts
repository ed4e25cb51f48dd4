// The one loop that every worker runs: look, do, wait or be woken. A failure is told and waited out; it never ends the loop.
import type { Logger } from '#log.ts'

export interface Loop {
  /** Looks at once instead of after the interval. */
  wake(): void
  /** Ends after the work under way. */
  stop(): Promise<void>
}

export interface LoopParts {
  name: string
  /** How long it sleeps when nothing wakes it, milliseconds. */
  intervalMs: number
  /** Does some of what is due; true if there may be more. */
  work: () => Promise<boolean>
  log: Logger
}

export function startLoop({ name, intervalMs, work, log }: LoopParts): Loop {
  let stopped = false
  let woken = false
  let wakeUp: () => void = () => {}

  async function workOnce(): Promise<boolean> {
    try {
      return await work()
    } catch (error) {
      log.error({ worker: name, err: error }, 'work failed and is tried again')
      return false
    }
  }

  function rest(): Promise<void> {
    if (woken || stopped) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, intervalMs)
      wakeUp = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async function run(): Promise<void> {
    while (!stopped) {
      woken = false
      if (!(await workOnce())) await rest()
    }
  }

  const running = run()
  return {
    wake: () => {
      woken = true
      wakeUp()
    },
    stop: () => {
      stopped = true
      wakeUp()
      return running
    },
  }
}
