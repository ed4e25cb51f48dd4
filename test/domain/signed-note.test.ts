import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { formatNote, formatSignatureLine, makeVerifierKey, parseNote, parseVerifierKey } from '#domain/signed-note.ts'

const refused = { code: 'bad_checkpoint' }
const bytesOf = (length: number, fill = 7) => Buffer.alloc(length, fill)
const lineOf = (name: string, bytes: Uint8Array) => `— ${name} ${Buffer.from(bytes).toString('base64')}\n`
const line = lineOf('log.example/a', bytesOf(68))
const other = lineOf('witness.example', bytesOf(76, 8))

t.test('splits a note into the text with its newline and the signatures', async (t) => {
  const note = parseNote(`first\nsecond\n\n${line}${other}`)
  t.equal(note.text, 'first\nsecond\n')
  t.same(note.signatures, [
    { name: 'log.example/a', keyId: bytesOf(4), signature: bytesOf(64), line },
    { name: 'witness.example', keyId: bytesOf(4, 8), signature: bytesOf(72, 8), line: other },
  ])
})

t.test('ends the text at the last empty line, and lets it be of any language', async (t) => {
  const text = 'ein Text mit\n\nLeerzeilen und Wörtern: 電話\n\n'
  t.equal(parseNote(`${text}\n${line}`).text, text)
  t.equal(parseNote(`x\n\n${lineOf('ホットライン/witness', bytesOf(5))}`).signatures[0]?.name, 'ホットライン/witness')
})

t.test('keeps the lines of signers that nobody knows, of any length', async (t) => {
  const long = lineOf('future.example', bytesOf(5_000))
  const note = `x\n\n${line}${long}${lineOf('short.example', bytesOf(5))}`
  t.equal(parseNote(note).signatures.length, 3)
  t.equal(
    formatNote(
      'x\n',
      parseNote(note).signatures.map((signature) => signature.line),
    ),
    note,
  )
})

t.test('takes the same name with another key, and the same key id with another name', async (t) => {
  const note = parseNote(`x\n\n${lineOf('a', bytesOf(68, 1))}${lineOf('a', bytesOf(68, 2))}${lineOf('b', bytesOf(68, 1))}`)
  t.equal(note.signatures.length, 3)
})

t.test('takes 100 signatures and no more', async (t) => {
  const lines = Array.from({ length: 101 }, (_, n) => lineOf(`w${n}`, bytesOf(76)))
  t.equal(parseNote(`x\n\n${lines.slice(1).join('')}`).signatures.length, 100)
  t.throws(() => parseNote(`x\n\n${lines.join('')}`), refused)
  t.throws(() => parseNote(`${'x'.repeat(1_100_000)}\n\n${line}`), refused, 'nor a text without end')
})

t.test('refuses what is not exactly a note', async (t) => {
  const signature = Buffer.from(bytesOf(68)).toString('base64')
  const notes: [string, string][] = [
    ['nothing', ''],
    ['no signature', 'x\n\n'],
    ['no empty line', `x\n${line}`],
    ['no text', `\n${line}`],
    ['only signatures', line],
    ['CRLF everywhere', `x\n\n${line}`.replaceAll('\n', '\r\n')],
    ['CRLF in the text', `x\r\n\n${line}`],
    ['CRLF at the end', `x\n\n${line.replace('\n', '\r\n')}`],
    ['no last newline', `x\n\n${line.slice(0, -1)}`],
    ['a byte behind', `x\n\n${line}x`],
    ['a line behind', `x\n\n${line}x\n`],
    ['an empty line behind', `x\n\n${line}\n`],
    ['an empty line between', `x\n\n${line}\n${other.slice(2)}`],
    ['a tab', `x\ty\n\n${line}`],
    ['a null', `x\0\n\n${line}`],
    ['a terminal escape', `x\u001b[2J\n\n${line}`],
    ['a terminal escape in one byte', `x\u009b2J\n\n${line}`],
    ['a delete', `x\u007f\n\n${line}`],
    ['half a surrogate pair', `x\ud800\n\n${line}`],
    ['what is left of bad UTF-8', Buffer.concat([Buffer.from('x'), Buffer.of(0xff), Buffer.from(`\n\n${line}`)]).toString()],
    ['the same line twice', `x\n\n${line}${line}`],
    ['two signatures of one key', `x\n\n${line}${lineOf('log.example/a', Buffer.concat([bytesOf(4), bytesOf(64, 9)]))}`],
    ['a hyphen for the dash', `x\n\n- a ${signature}\n`],
    ['an en dash', `x\n\n– a ${signature}\n`],
    ['no space behind the dash', `x\n\n—a ${signature}\n`],
    ['two spaces', `x\n\n—  a ${signature}\n`],
    ['two spaces before the signature', `x\n\n— a  ${signature}\n`],
    ['a space at the end', `x\n\n— a ${signature} \n`],
    ['a space before the line', `x\n\n ${line}`],
    ['no name', `x\n\n— ${signature}\n`],
    ['a name with a plus', `x\n\n— a+b ${signature}\n`],
    ['a name with a space', `x\n\n— a b ${signature}\n`],
    ['a name with a no-break space', `x\n\n— a\u00a0b ${signature}\n`],
    ['a name with an ideographic space', `x\n\n— a\u3000b ${signature}\n`],
    ['a name with a line separator', `x\n\n— a\u2028b ${signature}\n`],
    ['base64 without padding', `x\n\n— a ${signature.slice(0, -1)}\n`],
    ['base64url', `x\n\n— a ${Buffer.from(bytesOf(69, 0xfb)).toString('base64url')}\n`],
    ['base64 with unused bits', `x\n\n— a AAAAAAF=\n`],
    ['base64 with a space inside', `x\n\n— a ${signature.slice(0, 8)} ${signature.slice(8)}\n`],
    ['only a key id', `x\n\n— a ${bytesOf(4).toString('base64')}\n`],
    ['fewer bytes than a key id', `x\n\n— a AAAA\n`],
  ]
  for (const [name, note] of notes) t.throws(() => parseNote(note), refused, name)
})

t.test('gives every note back as it was, and throws nothing but its own error', async (t) => {
  const aNote = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc
      .array(fc.constantFrom('\n', '\n\n', '— ', 'a', ' ', '+', 'AAAAAAA=', line, other, '\r', '\ufeff'))
      .map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(aNote, (note) => {
      try {
        const { text, signatures } = parseNote(note)
        t.equal(
          formatNote(
            text,
            signatures.map((signature) => signature.line),
          ),
          note,
        )
      } catch (error) {
        t.match(error, refused)
      }
    }),
    { numRuns: 500 },
  )
})

t.test('puts no line under a text that would change what is signed', async (t) => {
  t.throws(() => formatNote('x', [line]), refused, 'a text without its newline')
  t.throws(() => formatNote('x\n', []), refused, 'no line')
  t.throws(() => formatNote('x\n', [line.slice(0, -1), other]), refused, 'a line without its newline')
  t.throws(() => formatNote('x\n', [`${line}${other}`]), refused, 'two lines as one')
  t.throws(() => formatNote('x\n', [`y\n\n${line}`]), refused, 'a text within a line')
  t.throws(() => formatNote('', [line]), refused, 'no text')
  t.throws(() => formatSignatureLine('a b', bytesOf(4), bytesOf(64)), refused)
  t.equal(formatSignatureLine('log.example/a', bytesOf(4), bytesOf(64)), line)
})

t.test('makes the key id of the specification, another for each name and type', async (t) => {
  const publicKey = bytesOf(32, 5)
  const idOf = (name: string, type: number) =>
    createHash('sha256').update(name).update('\n').update(Buffer.of(type)).update(publicKey).digest('hex').slice(0, 8)
  for (const name of ['hotline-nl/audit/2026', 'hotline-nl/witness', 'ö'])
    for (const type of [1, 4] as const) {
      const key = makeVerifierKey(name, type, publicKey)
      t.equal(key.keyId.toString('hex'), idOf(name, type))
      t.equal(key.text, `${name}+${idOf(name, type)}+${Buffer.concat([Buffer.of(type), publicKey]).toString('base64')}`)
      t.same(parseVerifierKey(key.text), key)
    }
})

t.test('refuses a verifier key that is not exactly one', async (t) => {
  const { text, keyId } = makeVerifierKey('log.example/a', 1, bytesOf(32, 0xfb))
  const id = keyId.toString('hex')
  const encoded = text.slice(text.indexOf(id) + 9)
  const typed = (type: number, length: number) => Buffer.concat([Buffer.of(type), bytesOf(length)]).toString('base64')
  const keys: [string, string][] = [
    ['nothing', ''],
    ['no key id', `log.example/a+${encoded}`],
    ['the key id of another name', text.replace('/a', '/b')],
    ['the key id of another key', text.replace(id, '00000000')],
    ['capitals', text.replace(id, id.toUpperCase())],
    ['no name', text.slice('log.example/a'.length)],
    ['a name with a space', text.replace('/a', ' a')],
    ['a name with a plus', text.replace('/a', '+a')],
    ['base64url', `${text.slice(0, text.indexOf(encoded))}${Buffer.from(encoded, 'base64').toString('base64url')}`],
    ['a newline behind', `${text}\n`],
    ['a byte behind', `${text}A`],
    ['a short key', `x+00000000+${typed(1, 31)}`],
    ['a long key', `x+00000000+${typed(1, 33)}`],
    ...[0, 2, 3, 5, 6, 255].map((type): [string, string] => [`type ${type}`, `x+00000000+${typed(type, 32)}`]),
  ]
  t.not(id, id.toUpperCase())
  t.equal(parseVerifierKey(text).text, text)
  for (const [name, key] of keys) t.throws(() => parseVerifierKey(key), refused, name)
  for (const length of [0, 31, 33]) t.throws(() => makeVerifierKey('x', 1, bytesOf(length)), refused)
  for (const name of ['', 'a b', 'a+b', 'a\n', '\ud800', 'a\u0085b'])
    t.throws(() => makeVerifierKey(name, 4, bytesOf(32)), refused)
})
