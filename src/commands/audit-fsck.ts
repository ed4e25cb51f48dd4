// `crossline audit fsck`: the checks of `audit verify` over the node's own database, all of it. It reads only; the node may run meanwhile.
import { readFile } from 'node:fs/promises'
import { type Config, type Environment, readConfig } from '#config.ts'
import { readAuditKeys, signerOf } from '#crypto/audit-keys.ts'
import { reportVerification } from '#domain/report-verification.ts'
import { exitCodes } from '#domain/verdict.ts'
import { CrosslineError } from '#errors.ts'
import { createLogger } from '#log.ts'
import { openHeldDirectory } from '#node-directory.ts'
import { type CheckContext, checkLog, type LogVerification } from '#steps/check-log.ts'
import { pendingMigrations } from '#storage/migrate.ts'
import { findDatabase, migrationsFolder, openServiceDatabase } from './open-database.ts'
import { tellProgress, type VerifiedFile } from './verify-file.ts'

/** Throws `migration_needed` for a schema that is older than the program: nothing is migrated for a look. */
export async function auditFsck(
  env: Environment,
  { json }: { json: boolean },
  note: (line: string) => void,
): Promise<VerifiedFile> {
  await refusePending(env)
  const found = await withLog(env, readConfig(env), (ctx) => checkLog(ctx, tellProgress(note)))
  const exitCode = exitCodes[found.verdict]
  return {
    text: json
      ? JSON.stringify({ exitCode, ...found }, null, 2)
      : `${reportVerification(found, 'log')}\n\n${describeRest(found)}`,
    exitCode,
  }
}

function describeRest({ checkpoints, recent, unwitnessed, peers, evidence }: LogVerification): string {
  return [
    `Also looked at: ${checkpoints} signed checkpoints; ${recent} entries that wait to be sealed or were sealed meanwhile;`,
    `${unwitnessed} entries under no checkpoint with a quorum yet; ${peers} logs of peers; ${evidence} pairs of notes kept as evidence.`,
  ].join('\n')
}

async function refusePending(env: Environment): Promise<void> {
  const { url, close } = await findDatabase(env)
  try {
    const { pending } = await pendingMigrations(url, migrationsFolder)
    if (pending.length > 0)
      throw new CrosslineError('migration_needed', {
        detail: 'The schema is older than this program: run `crossline migrate` first.',
      })
  } finally {
    await close()
  }
}

async function withLog<T>(env: Environment, config: Config, work: (ctx: CheckContext) => Promise<T>): Promise<T> {
  const auditKeys = await readAuditKeys(config.auditKey)
  const { db, keys, close } = await openServiceDatabase(env)
  try {
    const log = createLogger({ level: 'silent' })
    const keeper = await openHeldDirectory(config, { db, now: () => new Date(), log, onChange: () => {} })
    const auditPolicy = config.auditPolicy === undefined ? undefined : await readPolicy(config.auditPolicy)
    return await work({
      self: config.member,
      db,
      keys,
      directory: keeper.current,
      auditPolicy,
      auditKey: (year) => signerOf(auditKeys, year),
    })
  } finally {
    await close()
  }
}

function readPolicy(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new CrosslineError('invalid_config', { detail: 'AUDIT_POLICY names a file that cannot be read.', cause })
  })
}
