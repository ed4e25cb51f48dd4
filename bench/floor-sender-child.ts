// The floor's sender: stores items, outbox and audit rows durably, posts them as signed batches, checks and records the receipts.
// One batch is in flight at a time; the next is stored while the sender waits.
import { createPrivateKey, createPublicKey, type KeyObject, randomUUIDv7 } from 'node:crypto'
import { Agent, request } from 'node:https'
import { Client } from 'pg'
import type { FloorOrder, FloorSetup } from './floor.ts'
import { insertRows } from './floor-tables.ts'
import { auditColumns, type Claims, leafOf, rootOf, signToken, verifyToken } from './floor-wire.ts'
import { type BenchItem, makeItems } from './items.ts'

interface Sender {
  /** Two connections: one stores what comes next, the other records receipts. */
  storing: Client
  recording: Client
  agent: Agent
  port: number
  ownKey: KeyObject
  peerKey: KeyObject
}

interface StoredBatch {
  id: string
  lines: Buffer[]
  leaves: Buffer[]
}

process.once('SIGTERM', () => process.exit(0))
process.once('message', (setup: FloorSetup) => void start(setup))

async function start({ databaseUrl, tls, ownKey, peerKey, port }: FloorSetup): Promise<void> {
  const [storing, recording] = [new Client({ connectionString: databaseUrl }), new Client({ connectionString: databaseUrl })]
  await Promise.all([storing.connect(), recording.connect()])
  const agent = new Agent({ ...tls, minVersion: 'TLSv1.3', keepAlive: true, maxSockets: 1 })
  const sender = { storing, recording, agent, port, ownKey: createPrivateKey(ownKey), peerKey: createPublicKey(peerKey) }
  // Orders are taken one after the other: the next begins when the one before is receipted.
  let last: Promise<void> = Promise.resolve()
  process.on('message', (order: FloorOrder) => {
    last = last.then(() => carryOut(sender, order))
  })
  process.send?.({ ready: true })
}

async function carryOut(sender: Sender, order: FloorOrder): Promise<void> {
  if (order.kind === 'single') return deliver(sender, await store(sender, [order.item]))
  const items = makeItems(order.items)
  const startedAt = performance.now()
  await deliverAll(sender, items, order.batch)
  process.send?.({ seconds: (performance.now() - startedAt) / 1000 })
}

async function deliverAll(sender: Sender, items: readonly BenchItem[], size: number): Promise<void> {
  let next = store(sender, items.slice(0, size))
  for (let at = size; at - size < items.length; at += size) {
    const batch = await next
    if (at < items.length) next = store(sender, items.slice(at, at + size))
    await deliver(sender, batch)
  }
}

async function store({ storing }: Sender, items: readonly BenchItem[]): Promise<StoredBatch> {
  const id = randomUUIDv7()
  const lines = items.map((item) => Buffer.from(JSON.stringify(item)))
  const leaves = lines.map(leafOf)
  const ids = items.map((item) => item.id)
  await storing.query('begin')
  await insertRows(storing, 'item (id, body)', [ids, lines])
  await insertRows(storing, 'outbox (item_id, batch)', [ids, ids.map(() => id)])
  await insertRows(storing, 'audit (entry, leaf)', auditColumns('sent', ids, leaves))
  await storing.query('commit')
  return { id, lines, leaves }
}

async function deliver(sender: Sender, { id, lines, leaves }: StoredBatch): Promise<void> {
  const claims: Claims = { batch: id, root: rootOf(leaves).toString('base64url'), size: lines.length }
  const proof = await signToken(sender.ownKey, claims)
  await sender.recording.query('insert into batch values ($1, $2)', [id, proof])
  const newline = Buffer.of(0x0a)
  const receipt = await post(
    sender,
    Buffer.concat([Buffer.from(id), newline, ...lines.flatMap((line) => [line, newline])]),
    proof,
  )
  await verifyToken(sender.peerKey, receipt, claims)
  await sender.recording.query('update batch set receipt = $2 where id = $1', [id, receipt])
}

function post({ agent, port }: Sender, body: Buffer, proof: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'x-proof': proof, 'content-length': body.length }
    const sent = request({ agent, host: '127.0.0.1', port, method: 'POST', path: '/', headers }, async (response) => {
      let text = ''
      for await (const chunk of response.setEncoding('utf8')) text += chunk
      if (response.statusCode === 200) resolve(text)
      else reject(new Error(`the receiver answered ${response.statusCode}`))
    })
    sent.on('error', reject).end(body)
  })
}
