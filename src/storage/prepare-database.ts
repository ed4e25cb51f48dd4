// The one path from DATABASE_URL to the address that the service works with, taken by every command at start.
import { CrosslineError } from '#errors.ts'
import { migrate, pendingMigrations } from './migrate.ts'
import { canAdminister } from './roles.ts'
import { ensureServiceLogin } from './service-login.ts'
import { type StorageLog, silentLog } from './storage-log.ts'

export interface PrepareOptions {
  url: string
  folder: string
  /** For the service's own login; not used when `url` has no right to administer. */
  servicePassword: string
  log?: StorageLog
}

/**
 * With an administering address: migrates, and gives the address of the service's own login. With any other: checks that nothing is
 * pending (migration_needed) and gives that address itself.
 */
export async function prepareDatabase({
  url,
  folder,
  servicePassword,
  log = silentLog,
}: PrepareOptions): Promise<{ serviceUrl: string; migrated: string[] }> {
  if (await canAdminister(url)) {
    const { applied } = await migrate({ adminUrl: url, folder, log })
    return { serviceUrl: await ensureServiceLogin({ adminUrl: url, password: servicePassword }), migrated: applied }
  }
  const { pending, awaitingSuperuser } = await pendingMigrations(url, folder)
  if (pending.length > 0) {
    throw new CrosslineError('migration_needed', {
      detail:
        'Run `crossline migrate` with an administering DATABASE_URL: the schema of this database is older than the program.',
      facts: { pending },
    })
  }
  for (const name of awaitingSuperuser) log.warn({ migration: name }, 'this migration still waits for a superuser')
  return { serviceUrl: url, migrated: [] }
}
