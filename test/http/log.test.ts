// The log keeps secrets even when a caller passes them by mistake.
import { Writable } from 'node:stream'
import t from 'tap'
import { CrosslineError } from '#errors.ts'
import { createLogger } from '#log.ts'

function capture() {
  const lines: string[] = []
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    },
  })
  return { lines, log: createLogger({ level: 'info', destination }) }
}

t.test('a value under a secret name is censored at every depth, in lists and bindings too', (t) => {
  const { lines, log } = capture()
  const secrets = {
    url: 'marker',
    host: 'marker',
    referrer: 'marker',
    memo: 'marker',
    password: 'marker',
    username: 'marker',
    reference: 'marker',
    proof: 'marker',
    receipt: 'marker',
    key: 'marker',
    authorization: 'marker',
  }
  log.child({ ...secrets }).info(
    {
      list: [{ Password: 'marker', at: new Date(0) }],
      socket: new (class {
        url = 'marker'
      })(),
      error: { message: 'marker' },
    },
    'list',
  )
  log.info({ ...secrets, report: { ...secrets, item: { ...secrets, deeper: secrets } }, state: 'sent' }, 'item')
  t.notMatch(lines.join(''), /marker/)
  t.match(JSON.parse(lines[1] ?? ''), {
    url: '[redacted]',
    report: { item: { deeper: { memo: '[redacted]' } } },
    state: 'sent',
    level: 'info',
    msg: 'item',
  })
  t.end()
})

t.test(
  'an error of ours shows its code and its cause’s name, a foreign one its name, code and origin, neither a foreign text',
  (t) => {
    const { lines, log } = capture()
    const foreign = Object.assign(new TypeError('marker\n    at x (/src/marker.ts:1:1)'), { code: 'ERR_X', url: 'marker' })
    log.error({ err: new CrosslineError('audit_unavailable', { cause: foreign, pointer: '/a' }) }, 'failed')
    log.error({ err: foreign }, 'failed')
    log.error(foreign)
    log.error({ err: 'marker' }, 'failed')
    log.error({ err: foreign })
    const [ours, theirs] = lines.map((line) => JSON.parse(line))
    t.match(ours.err, {
      name: 'CrosslineError',
      code: 'audit_unavailable',
      pointer: '/a',
      cause: { name: 'TypeError', code: 'ERR_X' },
    })
    t.strictSame(theirs.err, { name: 'TypeError', code: 'ERR_X' })
    t.notMatch(lines.slice(0, 2).join('') + lines.slice(3).join(''), /marker/)
    t.notMatch(lines[2], /marker/, 'not even when the error itself is the object to log')
    t.end()
  },
)

t.test('an error thrown in our own code says where', (t) => {
  const { lines, log } = capture()
  try {
    createLogger({ level: 'nonsense' as 'info' })
  } catch (error) {
    log.error({ err: error }, 'failed')
  }
  t.match(JSON.parse(lines[0] ?? ''), { err: { at: /^log\.ts:\d+$/ } })
  t.end()
})
