// The ports of the demo: chosen once and kept in its data folder, so that a restart has the same directory; one that somebody else has
// taken meanwhile is replaced.
import { randomInt } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { writeWhole } from './write-whole.ts'

// Below the range from which systems give ports to outgoing connections: these stay free until the next start.
const portRange = [10_240, 32_768] as const

/** A port on 127.0.0.1 for each member, free at this moment. */
export async function choosePorts(folder: string, members: readonly string[]): Promise<Record<string, number>> {
  const file = join(folder, 'ports.json')
  const kept = await readPorts(file)
  const chosen: Record<string, number> = {}
  for (const member of members) {
    const before = kept[member]
    const others = new Set(Object.values(chosen))
    chosen[member] = before !== undefined && !others.has(before) && (await tryPort(before)) ? before : await findFreePort(others)
  }
  if (JSON.stringify(chosen) !== JSON.stringify(kept)) await writeWhole(file, `${JSON.stringify(chosen)}\n`, 0o644)
  return chosen
}

/** What cannot be read is chosen anew. */
async function readPorts(file: string): Promise<Record<string, number | undefined>> {
  const text = await readFile(file, 'utf8').catch(() => '{}')
  try {
    const ports: unknown = JSON.parse(text)
    const pairs = Object.entries(typeof ports === 'object' && ports !== null ? ports : {})
    return Object.fromEntries(pairs.filter(([, port]) => Number.isInteger(port) && port > 1023 && port < 65_536))
  } catch {
    return {}
  }
}

async function findFreePort(taken: ReadonlySet<number>): Promise<number> {
  for (;;) {
    const port = randomInt(...portRange)
    if (!taken.has(port) && (await tryPort(port)) !== undefined) return port
  }
}

/** The port if it can be listened on, else undefined. */
function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(port)))
  })
}
