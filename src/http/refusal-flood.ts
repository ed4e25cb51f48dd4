// A bound on what refusing costs: a signature for every refusal is work that a hostile peer could ask for without end
// (protocol.md, "Errors": unsigned is a 429 under a flood of refusals).

export interface RefusalFlood {
  /** Counts one refusal of this certificate. */
  count(fingerprint: string): void
  /** Seconds until this certificate is heard again; 0 if it is heard now. */
  waitS(fingerprint: string): number
}

/** At most `most` refusals of one certificate within a window; then it is not heard until the window ends. */
export function limitRefusals({
  most = 60,
  windowMs = 10_000,
  now,
}: {
  most?: number
  windowMs?: number
  now: () => Date
}): RefusalFlood {
  const windows = new Map<string, { endsMs: number; refusals: number }>()

  function forgetEnded(nowMs: number): void {
    for (const [fingerprint, { endsMs }] of windows) if (endsMs <= nowMs) windows.delete(fingerprint)
  }

  return {
    count(fingerprint) {
      const nowMs = now().getTime()
      const open = windows.get(fingerprint)
      if (open !== undefined && nowMs < open.endsMs) {
        open.refusals++
        return
      }
      forgetEnded(nowMs)
      windows.set(fingerprint, { endsMs: nowMs + windowMs, refusals: 1 })
    },
    waitS(fingerprint) {
      const open = windows.get(fingerprint)
      if (open === undefined || open.refusals < most) return 0
      return Math.max(0, Math.ceil((open.endsMs - now().getTime()) / 1000))
    },
  }
}
