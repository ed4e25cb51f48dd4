// What this process had in its hands a moment ago, so that the next step need not read and open it again. Only ever a shortcut: every step
// works the same without it, and a restart begins with none of it.

export interface Recent<T> {
  get(id: string): T | undefined
  set(id: string, value: T): void
  /** Forgets everything: something was erased. */
  clear(): void
}

/** Keeps the newest values up to `maxWeight` in all; a value's weight is 1 unless `weigh` says otherwise. */
export function createRecent<T>(maxWeight: number, weigh: (value: T) => number = () => 1): Recent<T> {
  const held = new Map<string, T>()
  let weight = 0

  function drop(id: string, value: T): void {
    held.delete(id)
    weight -= weigh(value)
  }

  return {
    get: (id) => held.get(id),
    set: (id, value) => {
      const before = held.get(id)
      if (before !== undefined) drop(id, before)
      held.set(id, value)
      weight += weigh(value)
      for (const [oldest, first] of held) {
        if (weight <= maxWeight) return
        drop(oldest, first)
      }
    },
    clear: () => {
      held.clear()
      weight = 0
    },
  }
}
