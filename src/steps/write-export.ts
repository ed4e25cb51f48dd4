// One bundle as a file: there whole under its name, or not at all.
import type { ExportFilter } from '#schema/audit-export.ts'
import { createFile } from '#storage/export-file.ts'
import type { Claim } from './claim-completeness.ts'
import { exportEntries } from './export-entries.ts'
import type { ExportContext, ExportPlan } from './pin-export.ts'
import { createBundleWriter } from './write-bundle.ts'

/** What the manifest says beside the list of members. */
export interface ExportOrder {
  plan: ExportPlan
  asked: ExportFilter
  createdAt: Date
  /** Asked when all of it is on the disk, before it gets its name: throws when it is not to get it. */
  mayFinish?: () => Promise<void>
}

export interface WrittenExport {
  rows: number
  bytes: number
  /** SHA-256 of the file. */
  digest: Buffer
  claim: Claim
}

/** Writes the bundle. Throws as `exportEntries`, and what the file system says; then nothing is left behind. */
export async function writeExport(
  ctx: ExportContext,
  path: string,
  { plan, asked, createdAt, mayFinish }: ExportOrder,
): Promise<WrittenExport> {
  const file = await createFile(path)
  const bundle = createBundleWriter(file, createdAt)
  try {
    const { rows, claim } = await exportEntries(ctx, plan, bundle)
    const { bytes, digest } = await bundle.finish({
      v: 1,
      kind: 'crossline-audit-bundle',
      member: ctx.self,
      createdAt: createdAt.toISOString(),
      filter: asked,
      scope: plan.scope,
      complete: claim,
      entries: rows,
    })
    await file.finish(mayFinish)
    return { rows, bytes, digest, claim }
  } catch (error) {
    bundle.abandon()
    await file.discard()
    throw error
  }
}
