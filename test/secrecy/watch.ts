// Sees where a process connects to and what it asks DNS, whatever code of it does so.
import type { Socket as DnsSocket } from 'node:dgram'
import diagnostics from 'node:diagnostics_channel'
import { createServer, Socket } from 'node:net'
import dnsPacket from 'dns-packet'
import type { Test } from 'tap'

export interface Watched {
  /** `address:port` of every connection that was tried. */
  dialled: Set<string>
  /** `METHOD path` of every request of our own client. */
  requested: Set<string>
  /** `TYPE name` of every question that reached the DNS server over UDP. */
  asked: Set<string>
}

/** Records where this process, with all its nodes, connects to. */
export function watchConnections(t: Test): Watched {
  const watched: Watched = { dialled: new Set(), requested: new Set(), asked: new Set() }
  const connect = Socket.prototype.connect
  Socket.prototype.connect = function (this: Socket, ...args: unknown[]) {
    this.on('connectionAttempt', (address: string, port: number) => watched.dialled.add(`${address}:${port}`))
    return Reflect.apply(connect, this, args)
  } as typeof connect
  const onRequest = (message: unknown) => {
    const { request } = message as { request: { method: string; path: string; origin: string } }
    watched.requested.add(`${request.method} ${request.origin}${request.path}`)
  }
  // The resolver asks through sockets of its own; what it asked is seen where the DNS server of the test receives it.
  const onUdpSocket = (message: unknown) => {
    const { socket } = message as { socket: DnsSocket }
    socket.on('message', (bytes: Buffer) => {
      for (const { type, name } of dnsPacket.decode(bytes).questions ?? []) watched.asked.add(`${type} ${name.toLowerCase()}`)
    })
  }
  diagnostics.subscribe('udp.socket', onUdpSocket)
  diagnostics.subscribe('undici:request:create', onRequest)
  t.teardown(() => {
    Socket.prototype.connect = connect
    diagnostics.unsubscribe('undici:request:create', onRequest)
    diagnostics.unsubscribe('udp.socket', onUdpSocket)
  })
  return watched
}

/** A server at the address of a reported URL: whoever connects to it has fetched. */
export async function startSink(t: Test): Promise<{ port: number; callers: () => number }> {
  let callers = 0
  const server = createServer((socket) => {
    callers += 1
    socket.destroy()
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.teardown(() => server.close())
  return { port: (server.address() as { port: number }).port, callers: () => callers }
}
