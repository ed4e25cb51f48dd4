// Verifies a bundle that lies in a file, and says what came of it. It opens the files that it is given and nothing else: no database, no
// network. The command `audit verify` and the verifier in one file are both this.
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { reportVerification } from '#domain/report-verification.ts'
import { exitCodes } from '#domain/verdict.ts'
import type { Verification } from '#domain/verification.ts'
import { CrosslineError } from '#errors.ts'
import type { BundleSource } from '#steps/read-bundle.ts'
import { verifyBundle } from '#steps/verify-bundle.ts'

export interface VerifyFileOptions {
  policy: string
  since?: string | undefined
  json?: boolean
  /** Where progress is told, line by line. */
  note?: ((line: string) => void) | undefined
}

export interface VerifiedFile {
  text: string
  exitCode: number
}

/** Never throws for what stands in the files; one that can't be opened is unreadable like one that can't be understood. */
export function verifyFile(path: string, { policy, since, json = false, note }: VerifyFileOptions): VerifiedFile {
  const found = verifyPath(path, { policy, since, note })
  const exitCode = exitCodes[found.verdict]
  const text = json ? JSON.stringify({ exitCode, ...found }, null, 2) : reportVerification(found, 'bundle')
  return { text, exitCode }
}

function verifyPath(path: string, { policy, since, note }: Omit<VerifyFileOptions, 'json'>): Verification {
  const nothing = { size: 0, read: () => Buffer.alloc(0) }
  const policyBytes = readSmall(policy)
  const sinceBytes = since === undefined ? undefined : readSmall(since)
  const file = attempt(() => openSync(path, 'r'))
  if (file === undefined || policyBytes === undefined || (since !== undefined && sinceBytes === undefined)) {
    // A file that isn't there is told like one that can't be read.
    const says = 'A file that was named can not be opened.'
    return {
      ...verifyBundle(nothing, { policy: Buffer.alloc(0) }),
      faults: [{ stage: 'read', kind: 'unreadable', says }],
      faultCount: 1,
    }
  }
  try {
    return verifyBundle(openSource(file), { policy: policyBytes, since: sinceBytes, onProgress: note && tellProgress(note) })
  } finally {
    closeSync(file)
  }
}

function openSource(file: number): BundleSource {
  const { size } = fstatSync(file)
  return {
    size,
    read: (position, length) => {
      const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(length, size - position)))
      let done = 0
      while (done < bytes.length) {
        const count = readSync(file, bytes, done, bytes.length - done, position + done)
        if (count === 0) throw new CrosslineError('broken_file', { detail: 'The file became shorter while it was read.' })
        done += count
      }
      return bytes
    },
  }
}

const quietMs = 2000

/** A line every two seconds of a long run, none of a short one. */
export function tellProgress(note: (line: string) => void): (done: number, total: number) => void {
  let saidAt = Date.now()
  return (done, total) => {
    if (Date.now() - saidAt < quietMs) return
    saidAt = Date.now()
    note(`${Math.floor((100 * done) / Math.max(total, 1))} %`)
  }
}

const readSmall = (path: string): Buffer | undefined => attempt(() => readFileSync(path))

function attempt<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}
