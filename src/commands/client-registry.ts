// `crossline client list` and `client revoke`, and the way into the register that `client add` takes too.
import type { Environment } from '#config.ts'
import { CrosslineError } from '#errors.ts'
import { type RegistryContext, revokeClient } from '#steps/register-client.ts'
import { findClients } from '#storage/client-store.ts'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import { openServiceDatabase } from './open-database.ts'

/** Opens the node's database for one change of its register. */
export async function withRegistry<T>(env: Environment, work: (ctx: RegistryContext) => Promise<T>): Promise<T> {
  const self = env.MEMBER_ID?.trim() ?? ''
  if (!/^[a-z0-9-]{2,40}$/.test(self))
    throw new CrosslineError('invalid_config', { detail: 'MEMBER_ID is missing or wrong: the audit log names the member.' })
  const { db, keys, close } = await openServiceDatabase(env)
  try {
    const latest = (await findLatestCheckpoint(db)) ?? null
    return await work({ db, keys, self, now: () => new Date(), checkpoint: () => latest })
  } finally {
    await close()
  }
}

/** Refuses every later call with this certificate. Throws `not_found` if none that is in force has this fingerprint. */
export async function revokeRegistered(env: Environment, fingerprint: string): Promise<string> {
  const result = await withRegistry(env, (ctx) => revokeClient(ctx, fingerprint))
  if (result === 'unknown')
    throw new CrosslineError('not_found', {
      detail: 'No client in force has this fingerprint: `crossline client list` shows them all.',
    })
  return `revoked ${fingerprint}: every call with this certificate is refused from now on`
}

/** One line per certificate, the ones revoked too. */
export async function listClients(env: Environment): Promise<string> {
  const clients = await withRegistry(env, ({ db }) => findClients(db))
  if (clients.length === 0) return 'no client is registered; `crossline client add` registers one'
  return clients
    .map(({ fingerprint, role, name, countries, network_wide, added_at, revoked_at }) => {
      const scope = network_wide ? 'network-wide' : countries.join(',') || '-'
      const state = revoked_at ? `revoked ${revoked_at.toISOString()}` : `added ${added_at.toISOString()}`
      return [fingerprint, role.padEnd(8), name, scope, state].join('  ')
    })
    .join('\n')
}
