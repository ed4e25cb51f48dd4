// Writes one bundle of a whole log, or verifies it; says how long that took and how much memory it ever held.
import { readFileSync } from 'node:fs'
import { verifyFile } from '#commands/verify-file.ts'
import { deriveKeys } from '#crypto/sealed-text.ts'
import { choosePin, type ExportContext, openPin } from '#steps/pin-export.ts'
import { writeExport } from '#steps/write-export.ts'
import { openDatabase } from '#storage/database.ts'
import type { BundleDone, BundleOrder } from './audit-bundle.ts'
import { self } from './audit-log.ts'

process.once('SIGTERM', () => process.exit(0))
process.once('message', (order: BundleOrder) => void start(order))

async function start(order: BundleOrder): Promise<void> {
  const idleMiB = peakMiB()
  const from = performance.now()
  const says = order.work === 'export' ? await writeBundle(order) : verifyBundle(order)
  const done: BundleDone = { seconds: Math.round(performance.now() - from) / 1000, peakMiB: peakMiB(), idleMiB, says }
  process.send?.(done, () => process.exit(0))
}

const peakMiB = (): number => Math.round(process.resourceUsage().maxRSS / 1024)

async function writeBundle({ url, master, policy, path }: BundleOrder): Promise<string> {
  const db = openDatabase({ url, applicationName: 'crossline bench', maxConnections: 2 })
  const ctx = { self, db, keys: deriveKeys(Buffer.from(master, 'hex')), auditPolicy: readFileSync(policy, 'utf8') }
  const exporting = ctx as unknown as ExportContext
  const pin = await choosePin(exporting)
  if (!pin) throw new Error('the log has no checkpoint')
  const plan = {
    scope: { networkWide: true, countries: [], members: [] },
    filter: {},
    format: 'ndjson',
    client: undefined,
    pin: await openPin(exporting, pin),
    maxRows: Number.MAX_SAFE_INTEGER,
    onProgress: async () => undefined,
  } as const
  const { rows, claim } = await writeExport(exporting, path, { plan, asked: {}, createdAt: new Date() })
  await db.close()
  return `${rows} entries, complete for: ${claim}`
}

function verifyBundle({ path, policy }: BundleOrder): string {
  const { exitCode, text } = verifyFile(path, { policy })
  if (exitCode !== 0) throw new Error(`the bundle of the benchmark is refused: ${text}`)
  return text.split('\n')[0] ?? ''
}
