import t from 'tap'
import { joinBatch, parseEnvelope, splitBatch } from '#domain/batch-lines.ts'
import { leafHash } from '#domain/merkle.ts'

const envelope = { batch: '01980000-0000-7000-8000-000000000001', from: 'hotline-se', to: 'hotline-gb' }
const first = JSON.stringify(envelope)
const body = (...lines: string[]) => Buffer.from(lines.join('\n'))
const malformed = { code: 'malformed_request' }
const invalid = { code: 'schema_invalid' }

t.test('takes apart what it put together, byte for byte', async (t) => {
  const lines = [Buffer.from('{"a":1}'), Buffer.from(' {"b" : "é"} '), Buffer.from([0x22, 0xff, 0x22])]
  const split = splitBatch(joinBatch(envelope, lines))
  t.same(parseEnvelope(split.envelopeLine), envelope)
  t.same(split.lines, lines)
  t.same(split.leaves, lines.map(leafHash))
})

t.test('takes a last line with or without its newline', async (t) => {
  t.same(splitBatch(body(first, '{}')).lines, [Buffer.from('{}')])
  t.same(splitBatch(body(first, '{}', '')).lines, [Buffer.from('{}')])
})

t.test('refuses lines that are not in form', async (t) => {
  const bodies = {
    'nothing at all': Buffer.alloc(0),
    'no message': body(first),
    'no message after a newline': body(first, ''),
    'a carriage return': body(`${first}\r`, '{}'),
    'a carriage return inside a line': body(first, '{\r}'),
    'an empty line': body(first, '', '{}'),
    'an empty line at the end': body(first, '{}', '', ''),
    'an empty line at the start': body('', first, '{}'),
    'a byte order mark': body(`\ufeff${first}`, '{}'),
  }
  for (const [name, bytes] of Object.entries(bodies)) t.throws(() => splitBatch(bytes), malformed, name)
})

t.test('takes 1,000 messages and not one more', async (t) => {
  const lines = Array.from({ length: 1_001 }, () => '{}')
  t.equal(splitBatch(body(first, ...lines.slice(1))).lines.length, 1_000)
  t.throws(() => splitBatch(body(first, ...lines)), { code: 'too_large' })
  t.throws(() => splitBatch(body(first, ...lines, '', '{}')), malformed, 'line form comes before the count')
})

t.test('leaves long lines and lines that are no JSON to whoever reads the messages', async (t) => {
  const long = `"${'x'.repeat(300_000)}"`
  t.same(splitBatch(body(first, long, 'no json')).lines, [Buffer.from(long), Buffer.from('no json')])
})

t.test('reads an envelope exactly', async (t) => {
  const read = (value: unknown) => parseEnvelope(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)))
  t.same(read(envelope), envelope)
  for (const text of ['{', `${first}x`, first.replace('{', '{"to":"hotline-gb",'), first.replace('}', ',"n":1.5}')]) {
    t.throws(() => read(text), malformed, text)
  }
  const wrong = [
    {},
    [],
    null,
    { ...envelope, more: 1 },
    { batch: envelope.batch, from: envelope.from },
    { ...envelope, batch: envelope.batch.replace('-7', '-4') },
    { ...envelope, batch: `${envelope.batch.slice(0, -1)}A` },
    { ...envelope, batch: `${envelope.batch}\n` },
    { ...envelope, from: 'Hotline-SE' },
    { ...envelope, to: 'x' },
    { ...envelope, to: 'x'.repeat(41) },
    { ...envelope, to: ['hotline-gb'] },
  ]
  for (const value of wrong) t.throws(() => read(value), invalid, JSON.stringify(value))
})
