// Real exchanges with a real DNS server on loopback: what is an answer, what is none, and what is only an outage.
import dgram from 'node:dgram'
import net from 'node:net'
import t from 'tap'
import { createResolver, maxAddresses, type ResolverOptions } from '#clients/resolver.ts'
import { startDnsServer, type Zone } from '#commands/demo-dns.ts'

const many = (count: number) => Array.from({ length: count }, (_, n) => `192.0.2.${n}`)
const manySix = (count: number) => Array.from({ length: count }, (_, n) => `2001:db8::${(n + 1).toString(16)}`)

async function setUp(t: { teardown(after: () => Promise<void>): void }, zone: Zone, options: ResolverOptions = {}) {
  const server = await startDnsServer({ zone })
  const resolver = createResolver({ servers: [server.address], timeoutMs: 300, tries: 1, ...options })
  t.teardown(async () => {
    resolver.close()
    await server.close()
  })
  return { server, resolver, zone }
}

t.test('gives A and AAAA addresses together, with the shortest life', async (t) => {
  const { resolver } = await setUp(t, { 'images.example': { A: ['192.0.2.1'], AAAA: ['2001:db8::1'], ttl: 120 } })
  t.strictSame(await resolver.resolveHost('Images.Example.'), {
    kind: 'answered',
    addresses: ['192.0.2.1', '2001:db8::1'],
    ttlS: 120,
    partial: false,
    truncated: false,
  })
})

t.test('tells a name that does not exist or has no address from a server that fails', async (t) => {
  const { resolver } = await setUp(t, {
    'nothing.example': {},
    'six.example': { AAAA: ['2001:db8::1'] },
    'down.example': { fail: 'servfail' },
    'no.example': { fail: 'refused' },
    'slow.example': { fail: 'timeout' },
  })
  t.strictSame(await resolver.resolveHost('unknown.example'), { kind: 'no_answer' })
  t.strictSame(await resolver.resolveHost('nothing.example'), { kind: 'no_answer' })
  t.match(await resolver.resolveHost('six.example'), { kind: 'answered', addresses: ['2001:db8::1'], partial: false })
  t.strictSame(await resolver.resolveHost('down.example'), { kind: 'failed', reason: 'server_failure' })
  t.strictSame(await resolver.resolveHost('no.example'), { kind: 'failed', reason: 'refused' })
  t.strictSame(await resolver.resolveHost('slow.example'), { kind: 'failed', reason: 'timeout' })
})

t.test('says when only half of the question was answered, and takes half a failure without address for a failure', async (t) => {
  const { resolver } = await setUp(t, {
    'half.example': { A: ['192.0.2.1'], fail: { AAAA: 'servfail' } },
    'empty-half.example': { fail: { AAAA: 'servfail' } },
    'slow-half.example': { AAAA: ['2001:db8::1'], fail: { A: 'timeout' } },
  })
  t.match(await resolver.resolveHost('half.example'), { kind: 'answered', addresses: ['192.0.2.1'], partial: true })
  t.match(await resolver.resolveHost('slow-half.example'), { kind: 'answered', addresses: ['2001:db8::1'], partial: true })
  t.strictSame(await resolver.resolveHost('empty-half.example'), { kind: 'failed', reason: 'server_failure' })
})

t.test('does not read the hosts file', async (t) => {
  const { resolver } = await setUp(t, { localhost: { A: ['192.0.2.77'] } })
  t.match(await resolver.resolveHost('localhost'), { kind: 'answered', addresses: ['192.0.2.77'] })
  const other = await setUp(t, {})
  t.strictSame(await other.resolver.resolveHost('localhost'), { kind: 'no_answer' }, 'although the hosts file knows it')
})

t.test('asks once for a name that is asked many times at once, and again only when its life is over', async (t) => {
  let nowMs = 0
  const { resolver, server, zone } = await setUp(t, { 'images.example': { A: ['192.0.2.1'], ttl: 100 } }, { now: () => nowMs })
  await Promise.all(Array.from({ length: 50 }, () => resolver.resolveHost('images.example')))
  t.equal(server.counts.udp, 2, 'one A and one AAAA query')
  zone['images.example'] = { A: ['192.0.2.2'], ttl: 100 }
  nowMs = 99_999
  t.match(await resolver.resolveHost('images.example'), { addresses: ['192.0.2.1'] })
  nowMs = 100_000
  t.match(await resolver.resolveHost('images.example'), { addresses: ['192.0.2.2'] })
  t.equal(server.counts.udp, 4)
})

t.test('keeps an answer for at least 30 seconds and at most an hour, none for a minute, a failure not at all', async (t) => {
  let nowMs = 0
  const zone: Zone = {
    'short.example': { A: ['192.0.2.1'], ttl: 0 },
    'long.example': { A: ['192.0.2.1'], ttl: 604_800 },
    'down.example': { fail: 'servfail' },
  }
  const { resolver, server } = await setUp(t, zone, { now: () => nowMs })
  const asks = async (name: string) => {
    const before = server.counts.udp
    await resolver.resolveHost(name)
    return server.counts.udp > before
  }
  for (const name of [...Object.keys(zone), 'none.example']) t.equal(await asks(name), true, name)
  const at = async (ms: number, name: string) => {
    nowMs = ms
    return asks(name)
  }
  t.equal(await at(29_999, 'short.example'), false)
  t.equal(await at(30_000, 'short.example'), true)
  t.equal(await at(59_999, 'none.example'), false)
  t.equal(await at(60_000, 'none.example'), true)
  t.equal(await at(3_599_999, 'long.example'), false)
  t.equal(await at(3_600_000, 'long.example'), true)
  t.equal(await asks('down.example'), true)
})

t.test('forgets the name that was not asked for longest when the cache is full', async (t) => {
  const zone = Object.fromEntries(['a', 'b', 'c'].map((name) => [`${name}.example`, { A: ['192.0.2.1'] }]))
  const { resolver, server } = await setUp(t, zone, { cacheMaxEntries: 2 })
  for (const name of ['a', 'b', 'a', 'c', 'a']) await resolver.resolveHost(`${name}.example`)
  t.equal(server.counts.udp, 6)
  await resolver.resolveHost('b.example')
  t.equal(server.counts.udp, 8)
})

t.test('takes a long answer over TCP and keeps 64 addresses, both families among them', async (t) => {
  const { resolver, server } = await setUp(t, {
    'flood.example': { A: many(200), AAAA: manySix(100) },
    'four.example': { A: many(100) },
    'full.example': { A: many(40), AAAA: manySix(24) },
  })
  const flood = await resolver.resolveHost('flood.example')
  t.ok(server.counts.tcp >= 2, 'truncated over UDP, whole over TCP')
  t.match(flood, { kind: 'answered', truncated: true })
  const addresses = flood.kind === 'answered' ? flood.addresses : []
  t.strictSame([addresses.length, addresses.filter((each) => each.includes(':')).length], [maxAddresses, maxAddresses / 2])
  const four = await resolver.resolveHost('four.example')
  t.match(four, { truncated: true, addresses: { length: maxAddresses } })
  t.match(await resolver.resolveHost('full.example'), { truncated: false, addresses: { length: 64 } })
})

t.test('sends no query for an onion name, an address or a name that DNS can not hold', async (t) => {
  const { resolver, server } = await setUp(t, {})
  for (const name of [
    '',
    '.',
    'x.onion',
    '192.0.2.1',
    '2001:db8::1',
    `${'a'.repeat(64)}.example`,
    `${'abcdefg.'.repeat(32)}example`,
    'a..example',
    'a b.example',
    'ex!ample.example',
  ]) {
    t.strictSame(await resolver.resolveHost(name), { kind: 'no_answer' }, name)
  }
  t.strictSame(server.counts, { udp: 0, tcp: 0 })
})

t.test('asks at most so many names at once, lets others wait, and says so when too many wait', async (t) => {
  const zone = Object.fromEntries(many(10).map((_, n) => [`n${n}.example`, { A: ['192.0.2.1'] }]))
  const { resolver } = await setUp(t, zone, { maxConcurrent: 2, maxWaiting: 3 })
  const answers = await Promise.all(Object.keys(zone).map((name) => resolver.resolveHost(name)))
  t.equal(answers.filter((each) => each.kind === 'answered').length, 5)
  t.equal(answers.filter((each) => each.kind === 'failed' && each.reason === 'overloaded').length, 5)
  t.match(await resolver.resolveHost('n9.example'), { kind: 'answered' }, 'and works on afterwards')
})

t.test('takes a server that is not there for an outage', async (t) => {
  const server = await startDnsServer({ zone: {} })
  await server.close()
  const resolver = createResolver({ servers: [server.address], timeoutMs: 200, tries: 1 })
  t.teardown(() => resolver.close())
  t.match(await resolver.resolveHost('images.example'), { kind: 'failed' })
})

t.test('the DNS server survives garbage over UDP and TCP', async (t) => {
  const { resolver, server } = await setUp(t, { 'images.example': { A: ['192.0.2.1'] } })
  const udp = dgram.createSocket('udp4')
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.from([0xff]),
    Buffer.alloc(600, 0xff),
    Buffer.alloc(12),
    Buffer.from('0001010000010000000000003f', 'hex'),
  ]) {
    await new Promise<void>((done) => udp.send(bytes, server.port, '127.0.0.1', () => done()))
  }
  await new Promise<void>((done) => udp.close(done))
  for (const bytes of [Buffer.from('0003ffffff', 'hex'), Buffer.from('ffff00', 'hex'), Buffer.from('0000', 'hex')]) {
    await new Promise<void>((done) => {
      const socket = net.connect(server.port, '127.0.0.1', () => socket.end(bytes))
      socket
        .on('error', () => {})
        .on('close', () => done())
        .resume()
    })
  }
  t.match(await resolver.resolveHost('images.example'), { kind: 'answered' })
})
