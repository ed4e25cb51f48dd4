// Writes a small private file so that a crash leaves the old one or the new one, never half of it.
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs'

/** Mode 0600, flushed to the disk before it takes its name. */
export function writeFileAtomically(path: string, text: string): void {
  const next = `${path}.new`
  const file = openSync(next, 'w', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(next, path)
}

/** Until then a crash may bring back what stood under a name before. */
export function syncFolder(folder: string): void {
  const opened = openSync(folder, 'r')
  try {
    fsyncSync(opened)
  } finally {
    closeSync(opened)
  }
}
