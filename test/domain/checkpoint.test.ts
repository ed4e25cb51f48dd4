import fc from 'fast-check'
import t from 'tap'
import { type Checkpoint, formatCheckpoint, parseCheckpoint } from '#domain/checkpoint.ts'
import { treeHash } from './rfc-6962.ts'

const refused = { code: 'bad_checkpoint' }
const root = Buffer.alloc(32, 0xfb)
const rootText = root.toString('base64')
const emptyRoot = treeHash([])

t.test('writes three lines and reads them back', async (t) => {
  const text = `hotline-nl/audit/2026\n20852163\n${rootText}\n`
  t.equal(formatCheckpoint({ origin: 'hotline-nl/audit/2026', size: 20_852_163, root }), text)
  t.same(parseCheckpoint(text), { origin: 'hotline-nl/audit/2026', size: 20_852_163, root })
})

t.test('gives every checkpoint back, byte for byte', async (t) => {
  const aCheckpoint = fc.record({
    origin: fc.stringMatching(/^[a-z0-9/.-]{1,60}$/),
    size: fc.maxSafeInteger().map((size) => Math.max(1, Math.abs(size))),
    root: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
  })
  fc.assert(
    fc.property(aCheckpoint, (checkpoint) => {
      t.same(parseCheckpoint(formatCheckpoint(checkpoint)), checkpoint)
    }),
  )
})

t.test('takes the smallest and the largest size, and the empty tree only with its root', async (t) => {
  t.equal(parseCheckpoint(`x\n9007199254740991\n${rootText}\n`).size, Number.MAX_SAFE_INTEGER)
  t.equal(parseCheckpoint(`x\n0\n${emptyRoot.toString('base64')}\n`).size, 0)
  t.throws(() => parseCheckpoint(`x\n0\n${rootText}\n`), refused)
})

t.test('reads nothing else', async (t) => {
  const sizes = ['', '00', '01', '-1', '+1', '1.0', '1e3', '0x1', ' 1', '1 ', '١', '9007199254740992', '99999999999999999999']
  // The last character of base64 of 32 bytes has two unused bits: `s` and `t` decode to the same.
  const bent = rootText.replace(/s=$/, 't=')
  const roots = [
    '',
    'AAAA',
    rootText.slice(0, -1),
    `${rootText}=`,
    ` ${rootText}`,
    `${rootText} `,
    bent,
    rootText.replaceAll('+', '-'),
  ]
  const texts = [
    ...[
      '',
      '\n',
      'x',
      'x\n',
      'x\n1',
      'x\n1\n',
      `x\n1\n${rootText}`,
      `\n1\n${rootText}\n`,
      `x\n\n1\n${rootText}\n`,
      `1\n${rootText}\n`,
    ],
    ...[
      `x\r\n1\r\n${rootText}\r\n`,
      `x\n1\n${rootText}\r\n`,
      `x\n1\r\n${rootText}\n`,
      `x\n1\n${rootText}\n\n`,
      `x\n1\n${rootText}\nmore\n`,
    ],
    ...[
      `x y\n1\n${rootText}\n`,
      `x+y\n1\n${rootText}\n`,
      `x\ty\n1\n${rootText}\n`,
      `x\u00a0y\n1\n${rootText}\n`,
      `x\0\n1\n${rootText}\n`,
    ],
    ...sizes.map((size) => `x\n${size}\n${rootText}\n`),
    ...roots.map((text) => `x\n1\n${text}\n`),
  ]
  t.ok(bent !== rootText && Buffer.from(bent, 'base64').equals(root))
  for (const text of texts) t.throws(() => parseCheckpoint(text), refused, JSON.stringify(text))
})

t.test('writes nothing that it would not read', async (t) => {
  const good: Checkpoint = { origin: 'x', size: 1, root }
  const strange: Partial<Checkpoint>[] = [
    ...[
      { origin: '' },
      { origin: 'a b' },
      { origin: 'a+b' },
      { origin: 'a\nb' },
      { origin: '\ud800' },
      { root: root.subarray(1) },
    ],
    ...[{ size: -1 }, { size: 0.5 }, { size: 2 ** 53 }, { size: Number.NaN }, { size: Infinity }, { size: 0 }],
  ]
  for (const change of strange) t.throws(() => formatCheckpoint({ ...good, ...change }), refused, JSON.stringify(change))
})

t.test('repeats nothing of what it was given', async (t) => {
  for (const text of ['secret.example\n1\nsecret\n', `secret\nsecret\n${rootText}\n`, `a secret\n1\n${rootText}\n`])
    try {
      parseCheckpoint(text)
      t.fail('it should throw')
    } catch (error) {
      t.notMatch((error as Error).message, 'secret')
    }
})
