// The floor's receiver: takes a batch over mutual TLS, recomputes its root, checks the signature, stores it durably, answers a receipt.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { Client } from 'pg'
import type { FloorSetup } from './floor.ts'
import { insertRows } from './floor-tables.ts'
import { auditColumns, type Claims, leafOf, rootOf, signToken, verifyToken } from './floor-wire.ts'

interface Receiver {
  client: Client
  ownKey: KeyObject
  peerKey: KeyObject
}

process.once('SIGTERM', () => process.exit(0))
process.once('message', (setup: FloorSetup) => void start(setup))

async function start({ databaseUrl, tls, ownKey, peerKey }: FloorSetup): Promise<void> {
  const client = new Client({ connectionString: databaseUrl })
  await client.connect()
  const receiver = { client, ownKey: createPrivateKey(ownKey), peerKey: createPublicKey(peerKey) }
  const server = createServer({ ...tls, minVersion: 'TLSv1.3', requestCert: true, rejectUnauthorized: true })
  server.on('request', (request, response) => void answer(receiver, request, response))
  server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
}

async function answer(receiver: Receiver, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const receipt = await receive(receiver, Buffer.concat(chunks), String(request.headers['x-proof']))
    response.end(receipt)
  } catch {
    response.writeHead(500).end()
  }
}

async function receive({ client, ownKey, peerKey }: Receiver, body: Buffer, proof: string): Promise<string> {
  const [batchLine, ...lines] = splitLines(body)
  const leaves = lines.map(leafOf)
  const claims: Claims = { batch: String(batchLine), root: rootOf(leaves).toString('base64url'), size: lines.length }
  await verifyToken(peerKey, proof, claims)
  const ids = lines.map((line) => (JSON.parse(line.toString()) as { id: string }).id)
  const receipt = await signToken(ownKey, claims)
  await client.query('begin')
  await insertRows(client, 'message (id, body)', [ids, lines])
  await insertRows(client, 'item (id)', [ids])
  await insertRows(client, 'audit (entry, leaf)', auditColumns('received', ids, leaves))
  await client.query('insert into batch values ($1, $2, $3)', [claims.batch, proof, receipt])
  await client.query('commit')
  return receipt
}

function splitLines(body: Buffer): Buffer[] {
  const lines: Buffer[] = []
  for (let start = 0; start < body.length; ) {
    const end = body.indexOf(0x0a, start)
    lines.push(body.subarray(start, end))
    start = end + 1
  }
  return lines
}
