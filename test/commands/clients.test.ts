// Who may call a node: registered, listed and revoked at the command line, each act an entry of the log, each in force at once.
import { readFileSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Agent, request } from 'undici'
import { addClient } from '#commands/client-add.ts'
import { listClients, revokeRegistered } from '#commands/client-registry.ts'
import { authorityFiles } from '#commands/dev-files.ts'
import { setAuditWritable } from '../audit/broken-log.ts'
import { checkAuditLog, readNodeKeys } from '../audit-check.ts'
import { createNetwork, environmentOf } from '../network.ts'

const network = await createNetwork(t)
const gb = network.get('hotline-gb')
const env = environmentOf('hotline-gb', { folder: network.folder, port: gb.port, dnsPort: network.dnsPort }, gb.database.url)
const out = join(network.folder, 'clients')
const order = { role: 'liaison' as const, networkWide: true, out, ca: network.folder, password: 'test' }
const entries = async () => (await checkAuditLog(gb.database.database, await readNodeKeys(gb.config.masterKey))).entries
const acts = async () => (await entries()).filter(({ event }) => event.startsWith('client.'))
const agents: Agent[] = []
t.teardown(() => Promise.all(agents.map((agent) => agent.destroy())))

/** Opens a connection of its own, kept alive. */
function openAgent(name: string): Agent {
  const read = (end: string) => readFileSync(join(out, `${name}.${end}`))
  const agent = new Agent({
    connect: { ca: readFileSync(authorityFiles(network.folder).certificate), cert: read('pem'), key: read('key') },
  })
  agents.push(agent)
  return agent
}

async function ask(dispatcher: Agent): Promise<{ status: number; code?: string }> {
  const answer = await request(`${gb.url}/audit/v1/entries?purpose=test`, { dispatcher })
  const body = (await answer.body.json()) as { code?: string }
  return { status: answer.statusCode, ...(body.code === undefined ? {} : { code: body.code }) }
}

const filesOf = async (name: string) => (await readdir(out)).filter((file) => file.startsWith(`${name}.`)).sort()
const fingerprintIn = (said: string) => /fingerprint (\S{43})$/.exec(said)?.[1] ?? ''

t.test('registers a liaison, and the log says so', async (t) => {
  const said = await addClient(env, { ...order, name: 'officer-a' })
  const fingerprint = fingerprintIn(said)
  t.match(said, /^registered officer-a as liaison/)
  t.match(await acts(), [
    {
      event: 'client.added',
      n: 1,
      opening: {
        actor: { value: { kind: 'operator' } },
        client: { value: { fingerprint, role: 'liaison', countries: [], networkWide: true } },
      },
    },
  ])
  t.notMatch(JSON.stringify(await acts()), 'officer-a', 'without a name')
  t.match(await ask(openAgent('officer-a')), { status: 200 })
  t.match(await listClients(env), new RegExp(`^${fingerprint}  liaison   officer-a  network-wide  added `, 'm'))
})

t.test('revokes it at once, on connections that are open too, and for good', async (t) => {
  const certificate = join(out, 'officer-b.pem')
  const fingerprint = fingerprintIn(await addClient(env, { ...order, name: 'officer-b' }))
  const agent = openAgent('officer-b')
  t.match(await ask(agent), { status: 200 })
  t.match(await addClient(env, { ...order, name: 'officer-b', certificate }), /registered already/)
  const before = (await acts()).length
  t.match(await revokeRegistered(env, fingerprint), /^revoked /)
  t.match(await ask(agent), { status: 401, code: 'unknown_client' })
  t.match((await acts()).slice(before), [
    { event: 'client.revoked', n: 2, opening: { actor: { value: { kind: 'operator' } }, client: { value: { fingerprint } } } },
  ])
  t.match(await listClients(env), new RegExp(`^${fingerprint} .* revoked `, 'm'))
  await t.rejects(revokeRegistered(env, fingerprint), { code: 'not_found' }, 'once')
  await t.rejects(addClient(env, { ...order, name: 'officer-b', certificate }), { code: 'invalid_config' }, 'it never comes back')
  t.equal((await acts()).length, before + 1, 'what changed nothing is no entry')
})

t.test('does neither when it can not be recorded', async (t) => {
  const fingerprint = fingerprintIn(await addClient(env, { ...order, name: 'officer-c' }))
  const agent = openAgent('officer-c')
  await setAuditWritable(gb.database.adminUrl, false)
  await t.rejects(addClient(env, { ...order, name: 'officer-d' }), { code: 'audit_unavailable' })
  await t.rejects(revokeRegistered(env, fingerprint), { code: 'audit_unavailable' })
  await setAuditWritable(gb.database.adminUrl, true)
  t.match(await ask(agent), { status: 200 })
  t.same(await filesOf('officer-d'), [], 'no file of a certificate that nobody knows')
  await addClient(env, { ...order, name: 'officer-d' })
  t.match(await ask(openAgent('officer-d')), { status: 200 }, 'the same order works later')
})

t.test('never writes over a file: key and certificate that are there stay', async (t) => {
  await addClient(env, { ...order, name: 'officer-e' })
  const read = () => Promise.all(['pem', 'key', 'p12'].map((end) => readFile(join(out, `officer-e.${end}`), 'base64')))
  const before = await read()
  const known = await listClients(env)
  await t.rejects(addClient(env, { ...order, name: 'officer-e' }), {
    code: 'invalid_config',
    detail: /officer-e\.pem is there already/,
  })
  t.same(await read(), before)
  await writeFile(join(out, 'officer-f.key'), 'a key of somebody else')
  await t.rejects(addClient(env, { ...order, name: 'officer-f' }), {
    code: 'invalid_config',
    detail: /officer-f\.key is there already/,
  })
  t.same(await filesOf('officer-f'), ['officer-f.key'], 'nothing half done')
  t.equal(await readFile(join(out, 'officer-f.key'), 'utf8'), 'a key of somebody else')
  t.equal(await listClients(env), known, 'nobody was registered')
})

t.test('takes no country that does not exist', async (t) => {
  const liaison = { ...order, networkWide: false, name: 'officer-g' }
  for (const code of ['XX', 'UK', 'EU', 'ZZ', 'gb', 'GBR', '', 'SU'])
    await t.rejects(addClient(env, { ...liaison, country: ['SE', code] }), { code: 'invalid_config', detail: /--country/ }, code)
  t.same(await filesOf('officer-g'), [])
  t.match(await addClient(env, { ...liaison, country: ['GB', 'XK'] }), /^registered officer-g/)
})

t.test('needs to know whose log it writes', async (t) => {
  const { MEMBER_ID: _, ...nobody } = env
  await t.rejects(revokeRegistered(nobody, 'x'), { code: 'invalid_config' })
})
