// Development certificates for a test, made once for the same members and copied afterwards: keys take a second to make.
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type DevelopmentMember, makeDevelopmentCertificates } from '#commands/certs-dev.ts'
import { testDataDir } from './database.ts'

/** Puts authority, certificates and keys below `folder`. What was kept is checked, and made anew where it no longer fits. */
export async function makeTestCertificates(request: { folder: string; members: readonly DevelopmentMember[] }): Promise<void> {
  const { folder, members } = request
  const kept = join(testDataDir(), 'certificates', digestOf(members))
  if (existsSync(kept)) await cp(kept, folder, { recursive: true })
  const { issued } = await makeDevelopmentCertificates({ folder, members })
  if (issued.length > 0) await keep(folder, kept)
}

function digestOf(members: readonly DevelopmentMember[]): string {
  const named = members.map(({ id, hosts }) => [id, ...hosts])
  return createHash('sha256').update(JSON.stringify(named)).digest('hex').slice(0, 16)
}

// Whole or not at all. Another test file may be quicker: then its set stays, and ours is ours alone.
async function keep(folder: string, kept: string): Promise<void> {
  const making = `${kept}.${randomBytes(4).toString('hex')}`
  await mkdir(join(kept, '..'), { recursive: true, mode: 0o700 })
  await cp(folder, making, { recursive: true })
  await rename(making, kept).catch(() => rm(making, { recursive: true, force: true }))
}
