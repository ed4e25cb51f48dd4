// The floor: what a durable, signed hand-over of the same bytes costs on this machine with none of our code around it.
// Two processes, two databases of their own on the stage's server, one signature per batch.
import type { ChildProcess } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { withClient } from '#storage/admin-client.ts'
import { ensureDatabase } from '#storage/embedded-server.ts'
import { receiverTables, senderTables } from './floor-tables.ts'
import type { BenchItem } from './items.ts'
import { filesOf, readTls, receiver, type Stage, sender, type TlsPems } from './stage.ts'

/** What a process of the floor is given to start with. */
export interface FloorSetup {
  databaseUrl: string
  tls: TlsPems
  /** PEM: its own private key, the other's public key. */
  ownKey: string
  peerKey: string
  /** Of the receiver; 0 for the receiver itself. */
  port: number
}

export type FloorOrder = { kind: 'bulk'; items: number; batch: number } | { kind: 'single'; item: BenchItem }

export interface Floor {
  receiverUrl: string
  /** Items per second, from the first item stored to the last receipt recorded. */
  runBulk(items: number, batch: number): Promise<number>
  submitOne(item: BenchItem): Promise<void>
}

export async function startFloor(stage: Stage): Promise<Floor> {
  const [senderUrl, receiverUrl] = await Promise.all([
    makeDatabase(stage, 'floor_sender', senderTables),
    makeDatabase(stage, 'floor_receiver', receiverTables),
  ])
  const [senderTls, receiverTls] = (await Promise.all(
    [sender, receiver].map((member) => readTls(stage.folder, filesOf(stage.folder, member).node)),
  )) as [TlsPems, TlsPems]
  const [ours, theirs] = [makeKeys(), makeKeys()]
  const receiving = stage.startProcess(new URL('./floor-receiver-child.ts', import.meta.url))
  const sending = stage.startProcess(new URL('./floor-sender-child.ts', import.meta.url))
  const { port } = await ask<{ port: number }>(receiving, {
    databaseUrl: receiverUrl,
    tls: receiverTls,
    ownKey: theirs.privateKey,
    peerKey: ours.publicKey,
    port: 0,
  })
  await ask(sending, { databaseUrl: senderUrl, tls: senderTls, ownKey: ours.privateKey, peerKey: theirs.publicKey, port })
  return {
    receiverUrl,
    async runBulk(items, batch) {
      const { seconds } = await ask<{ seconds: number }>(sending, { kind: 'bulk', items, batch })
      return items / seconds
    },
    submitOne: async (item) => void sending.send({ kind: 'single', item } satisfies FloorOrder),
  }
}

async function makeDatabase(stage: Stage, name: string, tables: string): Promise<string> {
  const url = await ensureDatabase(stage.server.adminUrl, name)
  await withClient(url, (client) => client.query(tables))
  return url
}

function makeKeys(): { privateKey: string; publicKey: string } {
  const privateKeyEncoding = { type: 'pkcs8', format: 'pem' } as const
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
}

/** Sends one message to a process and gives its answer; throws when the process ends instead. */
function ask<T>(child: ChildProcess, message: FloorSetup | FloorOrder): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = () => reject(new Error('a process of the floor ended'))
    child.once('exit', ended)
    child.once('message', (answer) => {
      child.off('exit', ended)
      resolve(answer as T)
    })
    child.send(message)
  })
}
