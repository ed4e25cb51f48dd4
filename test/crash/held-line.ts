// A TCP line between two programs that a test can hold, in either direction, or cut. It sees ciphertext only.
import { createServer, connect as dial, type Server, type Socket } from 'node:net'
import type { Teardown } from '../database.ts'

/** What the line does with bytes of one direction. */
export interface HeldLine {
  port: number
  /** Where new connections go. */
  target: number
  /** From now on nothing goes towards the target, until `pass`. */
  holdRequests(): void
  /** From now on nothing comes back, until `pass`. */
  holdAnswers(): void
  /** Lets everything through again, what was held first. */
  pass(): void
  /** Breaks every connection; what was held is lost. */
  cut(): void
}

interface Pair {
  near: Socket
  far: Socket
  heldRequests: Buffer[]
  heldAnswers: Buffer[]
}

/** Listens on 127.0.0.1 and hands every connection on to the port `target`. */
export async function openHeldLine(t: Teardown, { port, target }: { port: number; target: number }): Promise<HeldLine> {
  const pairs = new Set<Pair>()
  const holding = { requests: false, answers: false }
  const server: Server = createServer((near) => {
    const far = dial(line.target, '127.0.0.1')
    const pair: Pair = { near, far, heldRequests: [], heldAnswers: [] }
    pairs.add(pair)
    near.on('data', (bytes: Buffer) => void (holding.requests ? pair.heldRequests.push(bytes) : far.write(bytes)))
    far.on('data', (bytes: Buffer) => void (holding.answers ? pair.heldAnswers.push(bytes) : near.write(bytes)))
    for (const socket of [near, far]) {
      socket.on('error', () => undefined)
      socket.on('close', () => {
        near.destroy()
        far.destroy()
        pairs.delete(pair)
      })
    }
  })
  const cut = () => {
    for (const { near, far } of pairs) {
      near.destroy()
      far.destroy()
    }
  }
  const line: HeldLine = {
    port,
    target,
    holdRequests: () => {
      holding.requests = true
    },
    holdAnswers: () => {
      holding.answers = true
    },
    pass: () => {
      holding.requests = false
      holding.answers = false
      for (const { near, far, heldRequests, heldAnswers } of pairs) {
        for (const bytes of heldRequests.splice(0)) far.write(bytes)
        for (const bytes of heldAnswers.splice(0)) near.write(bytes)
      }
    },
    cut,
  }
  await new Promise<void>((done, fail) => server.once('error', fail).listen(port, '127.0.0.1', done))
  t.teardown(() => {
    cut()
    return new Promise((done) => server.close(done))
  })
  return line
}
