// `crossline migrate`: brings the schema up to date, under a lock. Harmless when there is nothing to do.
import type { Environment } from '#config.ts'
import { CrosslineError } from '#errors.ts'
import { migrate } from '#storage/migrate.ts'
import { canAdminister } from '#storage/roles.ts'
import { findDatabase, migrationsFolder } from './open-database.ts'

export async function runMigrations(env: Environment): Promise<string> {
  const { url, close } = await findDatabase(env)
  try {
    if (!(await canAdminister(url))) {
      throw new CrosslineError('migration_needed', {
        detail: 'DATABASE_URL has no right to change the schema: use an administering address for this command.',
      })
    }
    const { applied } = await migrate({ adminUrl: url, folder: migrationsFolder })
    return applied.length > 0 ? `applied ${applied.join(', ')}` : 'the schema is up to date'
  } finally {
    await close()
  }
}
