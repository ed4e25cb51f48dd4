// Opens the database of a node for a command: the one that DATABASE_URL names, else the embedded one of DATA_DIR and MEMBER_ID.
import { join, resolve } from 'node:path'
import { type Environment, readDatabaseUrl } from '#config.ts'
import { deriveKeys, readMasterKey } from '#crypto/sealed-text.ts'
import { CrosslineError } from '#errors.ts'
import { type Database, openDatabase } from '#storage/database.ts'
import { ensureDatabase, startEmbeddedServer } from '#storage/embedded-server.ts'
import { prepareDatabase } from '#storage/prepare-database.ts'

export const migrationsFolder = join(import.meta.dirname, '..', '..', 'migrations')

/** The address of the database and how to let go of the server behind it. */
export async function findDatabase(env: Environment): Promise<{ url: string; close: () => Promise<void> }> {
  const mistakes: string[] = []
  const url = readDatabaseUrl(env, mistakes)
  if (mistakes.length > 0) throw new CrosslineError('invalid_config', { detail: mistakes.join('\n') })
  if (url !== undefined) return { url, close: async () => {} }
  const member = env.MEMBER_ID?.trim()
  if (!member)
    throw new CrosslineError('invalid_config', {
      detail: 'Set DATABASE_URL, or MEMBER_ID and DATA_DIR for the embedded database.',
    })
  const server = await startEmbeddedServer({ dataDir: join(resolve(env.DATA_DIR?.trim() || 'data'), 'postgres') })
  const embedded = await ensureDatabase(server.adminUrl, `crossline_${member.replaceAll('-', '_')}`)
  return { url: embedded, close: () => server.stop() }
}

export interface OpenedDatabase {
  db: Database
  keys: ReturnType<typeof deriveKeys>
  close: () => Promise<void>
}

/** Opens it as the service does, migrated. */
export async function openServiceDatabase(env: Environment): Promise<OpenedDatabase> {
  const found = await findDatabase(env)
  try {
    const dataDir = resolve(env.DATA_DIR?.trim() || 'data')
    const keys = deriveKeys((await readMasterKey(env.MASTER_KEY?.trim() || join(dataDir, 'master.key'))).key)
    const { serviceUrl } = await prepareDatabase({
      url: found.url,
      folder: migrationsFolder,
      servicePassword: keys.servicePassword,
    })
    const db = openDatabase({ url: serviceUrl, applicationName: 'crossline command', maxConnections: 2 })
    return {
      db,
      keys,
      close: async () => {
        await db.close()
        await found.close()
      },
    }
  } catch (error) {
    await found.close()
    throw error
  }
}
