// The container files, as far as they can be checked without an engine: the rules that an image review would ask about.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import t from 'tap'
import { parse } from 'yaml'

type Instruction = { name: string; rest: string }
type Service = {
  image?: string
  user?: string
  read_only?: boolean
  privileged?: boolean
  cap_drop?: string[]
  cap_add?: string[]
  security_opt?: string[]
  tmpfs?: string[]
  secrets?: string[]
  volumes?: string[]
  networks?: string[]
  environment?: Record<string, string>
  healthcheck?: { test: string[] }
  depends_on?: Record<string, { condition: string }>
}
type Compose = {
  services: Record<'node' | 'database', Service>
  secrets: Record<string, { file?: string }>
  networks: Record<string, { internal?: boolean } | null>
  volumes: Record<string, unknown>
}

const dockerfile = readInstructions(readFileSync('Dockerfile', 'utf8'))
const compose = parse(readFileSync('compose.yaml', 'utf8')) as Compose
const lastStage = dockerfile.slice(dockerfile.findLastIndex(({ name }) => name === 'FROM'))
const all = (name: string, list = dockerfile) => list.filter((one) => one.name === name).map((one) => one.rest)

t.test('builds in stages on a base image that is named by version and variant', async (t) => {
  const image = all('ARG').find((rest) => rest.startsWith('NODE_IMAGE='))
  t.match(image, /^NODE_IMAGE=node:26(?:\.\d+\.\d+)?-bookworm-slim$/)
  t.ok(all('FROM').length >= 2, 'more than one stage')
  for (const from of all('FROM')) t.match(from, /^\$\{NODE_IMAGE\} AS [a-z]+$/)
  t.match(all('RUN', lastStage).join('\n'), /26012001/, 'and an older Node stops the build')
})

t.test('installs production dependencies by the lockfile, and runs no install script', async (t) => {
  const installs = all('RUN').filter((rest) => /\bnpm\b/.test(rest))
  t.equal(installs.length, 1)
  for (const flag of ['npm ci', '--omit=dev', '--omit=optional', '--ignore-scripts']) t.match(installs[0], flag)
})

t.test('adds nothing from the network, and nothing by ADD', async (t) => {
  t.same(all('ADD'), [])
  t.same(
    all('RUN').filter((rest) => /\b(?:curl|wget|apt-get)\b/.test(rest)),
    [],
  )
})

t.test('copies only what exists and what .dockerignore lets through', async (t) => {
  const allowed = new Set(
    readFileSync('.dockerignore', 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#')),
  )
  t.ok(allowed.has('*'), 'everything is kept out unless it is named')
  const sources = all('COPY').flatMap((rest) => (rest.startsWith('--from=') ? [] : rest.split(/\s+/).slice(0, -1)))
  t.ok(sources.includes('src') && sources.includes('migrations') && sources.includes('package-lock.json'))
  for (const source of sources) {
    t.ok(existsSync(source), `${source} exists`)
    t.ok(allowed.has(`!${source}`), `${source} is let through`)
  }
  for (const secret of ['test', 'certs-dev', 'data', '.git', '.', 'node_modules'])
    t.notOk(allowed.has(`!${secret}`), `${secret} is not`)
})

t.test('runs as a user without rights, who owns /data and nothing else', async (t) => {
  const names = lastStage.map(({ name }) => name)
  t.same(all('USER', lastStage), ['node'])
  t.ok(names.indexOf('USER') < names.indexOf('CMD'), 'USER comes before CMD')
  t.ok(names.lastIndexOf('COPY') < names.indexOf('USER'), 'the program is copied as root, so that it can not change itself')
  t.same(all('VOLUME', lastStage), ['["/data"]'])
  t.notMatch(all('COPY').join('\n'), /--chown/)
})

t.test('starts in exec form, stops on SIGTERM and tells its health', async (t) => {
  for (const name of ['ENTRYPOINT', 'CMD']) t.type(JSON.parse(all(name, lastStage)[0] ?? ''), Array, name)
  t.same(JSON.parse(all('CMD', lastStage)[0] ?? ''), ['node', 'start'])
  t.same(all('STOPSIGNAL', lastStage), ['SIGTERM'])
  t.equal(all('HEALTHCHECK', lastStage).length, 1)
  t.match(all('LABEL', lastStage)[0], 'org.opencontainers.image.licenses="Apache-2.0"')
})

t.test('the health check asks /health/ready on the loopback and exits 0 or 1 by the answer', async (t) => {
  const asked: (string | undefined)[] = []
  const server = createServer((request, response) => {
    asked.push(request.url)
    response.writeHead(asked.length === 1 ? 200 : 503).end()
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  const [command, ...args] = JSON.parse(all('HEALTHCHECK')[0]?.replace(/^.*?CMD\s+/, '') ?? '') as string[]
  t.equal(command, 'node')
  t.equal(await exitOf(args, port), 0, 'ready')
  t.equal(await exitOf(args, port), 1, 'not ready')
  t.same(asked, ['/health/ready', '/health/ready'])
  await new Promise((resolve) => server.close(resolve))
  t.equal(await exitOf(args, port), 1, 'nobody there')
})

t.test('every service is read-only, without capabilities and without a way to new ones', async (t) => {
  for (const [name, service] of Object.entries(compose.services)) {
    t.equal(service.read_only, true, `${name} is read-only`)
    t.same(service.cap_drop, ['ALL'], `${name} drops every capability`)
    t.notOk(service.cap_add ?? service.privileged, `${name} takes none back`)
    t.same(service.security_opt, ['no-new-privileges:true'])
    t.ok(
      service.tmpfs?.some((mount) => mount.startsWith('/tmp')),
      `${name} has a /tmp`,
    )
  }
  t.equal(compose.services.database.user, 'postgres')
})

t.test('secrets come from files alone', async (t) => {
  for (const { file } of Object.values(compose.secrets)) t.match(file, /^\.\/secrets\//)
  for (const [name, service] of Object.entries(compose.services)) {
    for (const [key, value] of Object.entries(service.environment ?? {})) {
      const secret = /PASSWORD|SECRET|KEY|TOKEN|DATABASE_URL/.test(key)
      t.ok(!secret || (key.endsWith('_FILE') && value.startsWith('/run/secrets/')), `${name}: ${key}`)
      t.notMatch(value, /:\/\/[^/]*@/, `${name}: ${key} holds no URL with a password`)
    }
    for (const secret of service.secrets ?? []) t.ok(secret in compose.secrets, `${name}: ${secret} is declared`)
  }
  t.match(compose.services.node.environment, { DATABASE_URL_FILE: '/run/secrets/database-url' })
})

t.test('the node waits for a healthy PostgreSQL 18, which only the node can reach', async (t) => {
  const { node, database } = compose.services
  t.match(database.image, /^postgres:18(?:\.\d+)?-bookworm$/)
  t.match(database.healthcheck?.test, ['CMD', 'pg_isready'])
  t.same(node.depends_on, { database: { condition: 'service_healthy' } })
  t.same(database.networks, ['inside'])
  t.equal(compose.networks.inside?.internal, true)
  t.notOk('ports' in database)
  for (const mount of [...(node.volumes ?? []), ...(database.volumes ?? [])]) {
    const [source = '', , mode] = mount.split(':')
    t.ok(source in compose.volumes || (source.startsWith('./') && mode === 'ro'), `${mount} is a named volume or read-only`)
  }
})

const composeClient = spawnSync('docker', ['compose', 'version'], { stdio: 'ignore' }).status === 0
t.test('docker compose reads compose.yaml', { skip: !composeClient && 'there is no docker compose client here' }, async (t) => {
  const run = spawnSync('docker', ['compose', '--file', 'compose.yaml', 'config', '--quiet'], { encoding: 'utf8' })
  t.equal(run.status, 0, run.stderr)
})

async function exitOf(args: string[], port: number): Promise<number | null> {
  const child = spawn(process.execPath, args, { stdio: 'ignore', env: { ...process.env, HEALTH_PORT: String(port) } })
  return await new Promise((resolve) => child.once('exit', resolve))
}

/** The instructions of a Dockerfile, continued lines joined, comments dropped. */
function readInstructions(text: string): Instruction[] {
  const lines = text.replaceAll(/^\s*#.*\n/gm, '').replaceAll(/\\\n\s*/g, ' ')
  return lines.split('\n').flatMap((line) => {
    const [, name, rest] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? []
    return name && rest ? [{ name, rest: rest.trim() }] : []
  })
}
