// Health and metrics for the machine itself, and what an operator reads over the network.

import { once } from 'node:events'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import t from 'tap'
import { answerExamples } from '#http/examples.ts'
import { createMetrics } from '#http/metrics.ts'
import { buildOperationsServer } from '#http/operations-server.ts'
import { createLogger } from '#log.ts'
import type { Status } from '#schema/status.ts'
import { startServer } from './test-server.ts'

const status = answerExamples['findStatus'] as Status
let ready = true
let findStatus = async (): Promise<Status> => status
const metrics = createMetrics()
const app = buildOperationsServer({
  steps: {
    readiness: async () => ({ ready, checks: { database: ready ? 'ok' : 'database_unavailable', directory: 'ok' } }),
    findStatus: () => findStatus(),
  },
  metrics,
  log: createLogger({ level: 'silent' }),
})
await app.listen({ host: '0.0.0.0', port: 0, listenTextResolver: () => 'listening' })
t.teardown(() => app.close())
const { port } = app.server.address() as AddressInfo

async function get(path: string, host = '127.0.0.1', method = 'GET') {
  const asked = request({ host, port, path, method, agent: false }).end()
  const [response] = await once(asked, 'response')
  const parts: Buffer[] = []
  for await (const part of response) parts.push(part)
  return { status: response.statusCode as number, text: Buffer.concat(parts).toString() }
}

t.test('live answers while the process runs, ready says which check fails', async (t) => {
  t.match(await get('/health/live'), { status: 200, text: '{"live":true}' })
  t.equal((await get('/health/ready')).status, 200)
  ready = false
  const answer = await get('/health/ready')
  t.equal(answer.status, 503)
  t.match(JSON.parse(answer.text), { ready: false, failing: ['database'], checks: { database: 'database_unavailable' } })
})

t.test('metrics show counts by member and state, and go on when the status cannot be read', async (t) => {
  metrics.countRequest({ route: '/v1/items/:id', method: 'GET', status: 404, code: 'not_found', member: undefined, ms: 3 })
  const { text } = await get('/metrics')
  t.match(text, 'crossline_items{state="delivered"} 1')
  t.match(text, 'crossline_messages_waiting{peer="borealis"} 0')
  t.match(text, 'crossline_requests_total{route="/v1/items/:id",method="GET",status="404",code="not_found",peer=""} 1')
  findStatus = async () => ({ ...status, items: [] })
  t.notMatch((await get('/metrics')).text, 'crossline_items{', 'a state without items is not shown for ever')
  findStatus = () => Promise.reject(new Error('gone'))
  t.match(await get('/metrics'), { status: 200, text: /crossline_requests_total/ })
})

t.test('there is nothing else', async (t) => {
  for (const path of ['/', '/v1/items', '/health', '/metrics/']) t.equal((await get(path)).status, 404)
  t.equal((await get('/metrics', '127.0.0.1', 'POST')).status, 404)
})

const outside = Object.values(networkInterfaces())
  .flat()
  .find((found) => found?.family === 'IPv4' && !found.internal)?.address
t.test(
  'bound to another address by mistake it answers nobody there',
  { skip: outside === undefined && 'this machine has loopback only' },
  async (t) => {
    t.equal((await get('/metrics', outside)).status, 404)
  },
)

t.test('an operator reads the status of the node', async (t) => {
  const node = await startServer()
  t.teardown(() => node.close())
  t.match(await node.ask('GET', '/operations/v1/status', { as: node.roles.operator }), {
    status: 200,
    json: { member: 'aurora', quarantined: 0 },
  })
})
