// A small authoritative DNS server for the demo and the tests: a real exchange over UDP and TCP on loopback, from a zone in memory.
// Promise: a packet that is no query, or no packet at all, never stops it. It is no server for the Internet.
import dgram from 'node:dgram'
import net from 'node:net'
import dnsPacket, { type DecodedPacket, type Packet, type Question } from 'dns-packet'

export type DnsFailure = 'servfail' | 'refused' | 'timeout'

/** What the server knows of one name. `fail` fails both types, or the one named. */
export interface ZoneEntry {
  A?: readonly string[]
  AAAA?: readonly string[]
  /** Seconds; 300 if absent. */
  ttl?: number
  fail?: DnsFailure | { A?: DnsFailure; AAAA?: DnsFailure }
}

/** Lower-case names without a trailing dot. Read at each query, so it may be changed while the server runs. */
export type Zone = Record<string, ZoneEntry>

export interface DnsServer {
  port: number
  /** `127.0.0.1:<port>`, as resolvers want it. */
  address: string
  /** How many queries came, by transport. */
  counts: { udp: number; tcp: number }
  close(): Promise<void>
}

const rcodes = { noerror: 0, servfail: 2, nxdomain: 3, notimp: 4, refused: 5 }
const idleMs = 5000

/** Listens on 127.0.0.1 with UDP and TCP on the same port (0: any free one). */
export async function startDnsServer({ port = 0, zone }: { port?: number; zone: Zone }): Promise<DnsServer> {
  const counts = { udp: 0, tcp: 0 }
  const answer = (transport: 'udp' | 'tcp') => (bytes: Buffer) => {
    const response = answerPacket(zone, bytes)
    if (response !== undefined) counts[transport] += 1
    return response
  }
  const { udp, tcp, bound } = await listenOnBoth(port)
  const sockets = serveTcp(tcp, answer('tcp'))
  serveUdp(udp, answer('udp'))
  const close = async () => {
    for (const socket of sockets) socket.destroy()
    await Promise.all([new Promise<void>((done) => udp.close(done)), new Promise<void>((done) => tcp.close(() => done()))])
  }
  return { port: bound, address: `127.0.0.1:${bound}`, counts, close }
}

/** A free UDP port may be taken for TCP, so several are tried; a fixed one is tried once. */
async function listenOnBoth(
  port: number,
  triesLeft = port === 0 ? 20 : 1,
): Promise<{ udp: dgram.Socket; tcp: net.Server; bound: number }> {
  const udp = dgram.createSocket('udp4')
  const tcp = net.createServer()
  try {
    const bound = await new Promise<number>((done, fail) =>
      udp.once('error', fail).bind(port, '127.0.0.1', () => done(udp.address().port)),
    )
    await new Promise<void>((done, fail) => tcp.once('error', fail).listen(bound, '127.0.0.1', done))
    return { udp, tcp, bound }
  } catch (error) {
    udp.close()
    if (triesLeft <= 1) throw error
    return listenOnBoth(port, triesLeft - 1)
  }
}

type Answer = { packet: Packet; maxUdpBytes: number } | 'silence' | undefined

function serveUdp(udp: dgram.Socket, answer: (bytes: Buffer) => Answer): void {
  // Errors of the socket (an ICMP refusal of an answer) are the other side's business.
  udp.on('error', () => {})
  udp.on('message', (bytes, from) => {
    const answered = answer(bytes)
    if (answered === undefined || answered === 'silence') return
    const whole = dnsPacket.encode(answered.packet)
    udp.send(
      whole.length <= answered.maxUdpBytes ? whole : dnsPacket.encode(truncated(answered.packet)),
      from.port,
      from.address,
      () => {},
    )
  })
}

/** RFC 7766: two bytes of length before each message, several messages on one connection. */
function serveTcp(tcp: net.Server, answer: (bytes: Buffer) => Answer): Set<net.Socket> {
  const sockets = new Set<net.Socket>()
  tcp.maxConnections = 100
  tcp.on('connection', (socket) => {
    let held: Buffer = Buffer.alloc(0)
    sockets.add(socket)
    socket
      .on('close', () => sockets.delete(socket))
      .on('error', () => {})
      .setTimeout(idleMs, () => socket.destroy())
    socket.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk])
      while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
        const end = 2 + held.readUInt16BE(0)
        const answered = answer(held.subarray(2, end))
        held = held.subarray(end)
        if (answered === undefined) return socket.destroy()
        if (answered !== 'silence') socket.write(dnsPacket.streamEncode(answered.packet))
      }
      return undefined
    })
  })
  return sockets
}

function answerPacket(zone: Zone, bytes: Buffer): Answer {
  try {
    const query = dnsPacket.decode(bytes)
    const question = query.questions?.[0]
    if (query.type !== 'query' || question === undefined) return undefined
    const found = answerQuestion(zone, question, query)
    return found === 'silence' ? found : { packet: buildResponse(query, question, found), maxUdpBytes: offeredUdpBytes(query) }
  } catch {
    return undefined
  }
}

interface Found {
  rcode: number
  addresses: readonly string[]
  ttl: number
}

function answerQuestion(zone: Zone, { name, type }: Question, query: DecodedPacket): Found | 'silence' {
  const opcode = ((query.flags ?? 0) >> 11) & 15
  const nothing = (rcode: number) => ({ rcode, addresses: [], ttl: 0 })
  const key = name.toLowerCase()
  const entry = Object.hasOwn(zone, key) ? zone[key] : undefined
  if (opcode !== 0) return nothing(rcodes.notimp)
  if (entry === undefined) return nothing(rcodes.nxdomain)
  if (type !== 'A' && type !== 'AAAA') return nothing(rcodes.noerror)
  const failure = typeof entry.fail === 'string' ? entry.fail : entry.fail?.[type]
  if (failure === 'timeout') return 'silence'
  return failure === undefined
    ? { rcode: rcodes.noerror, addresses: entry[type] ?? [], ttl: entry.ttl ?? 300 }
    : nothing(rcodes[failure])
}

function buildResponse(query: DecodedPacket, question: Question, { rcode, addresses, ttl }: Found): Packet {
  const type = question.type === 'AAAA' ? 'AAAA' : 'A'
  return {
    type: 'response',
    id: query.id,
    flags: dnsPacket.AUTHORITATIVE_ANSWER | (query.flag_rd ? dnsPacket.RECURSION_DESIRED : 0) | rcode,
    questions: [question],
    answers: addresses.map((data) => ({ type, name: question.name, ttl, data })),
  }
}

function truncated(packet: Packet): Packet {
  return { ...packet, flags: (packet.flags ?? 0) | dnsPacket.TRUNCATED_RESPONSE, answers: [] }
}

/** RFC 6891: what the asker can take; 512 without EDNS. */
function offeredUdpBytes(query: DecodedPacket): number {
  const opt = query.additionals?.find((each) => each.type === 'OPT')
  return opt?.type === 'OPT' ? Math.max(512, Math.min(opt.udpPayloadSize, 1232)) : 512
}
