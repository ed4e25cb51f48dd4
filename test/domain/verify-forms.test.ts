// The strict readers of the verifier, one by one: canonical JSON, headers of a tar, texts of entries, and the flat memory of items.
import { hash } from 'node:crypto'
import canonicalize from 'canonicalize'
import fc from 'fast-check'
import t from 'tap'
import { buildEntry, type Committed } from '#domain/audit-entry.ts'
import { commitmentOf, matchEntry, parseEntryText } from '#domain/entry-text.ts'
import { createItemHeads } from '#domain/item-heads.ts'
import { skipJcs } from '#domain/jcs-text.ts'
import { parseStrictJson } from '#domain/strict-json.ts'
import { parseTarHeader } from '#domain/tar-header.ts'
import { auditEvents } from '#schema/audit.ts'
import { tarOf } from '../bundle.ts'

function isCanonical(text: string): boolean {
  try {
    return skipJcs(text, 0) === text.length
  } catch {
    return false
  }
}

// What the strict parser takes and the library writes again byte for byte.
function isCanonicalByLibrary(text: string): boolean {
  try {
    return canonicalize(parseStrictJson(text)) === text
  } catch {
    return false
  }
}

t.test('takes exactly the JSON that the strict parser reads and the library writes the same', async (t) => {
  const valid = fc.jsonValue({ stringUnit: 'grapheme', noUnicodeString: false }).map((value) => canonicalize(value) as string)
  const bent = fc.tuple(valid, fc.nat(), fc.constantFrom(...'{}[]",:0-1.eE \\u/ntrue\u0001')).map(([text, at, put]) => {
    const place = at % (text.length + 1)
    return text.slice(0, place) + put + text.slice(place + (at % 2))
  })
  for (const texts of [valid, bent]) {
    fc.assert(
      fc.property(texts, (text) => {
        // From UTF-8 no half of a character can come.
        if (text.isWellFormed() && isCanonical(text) !== isCanonicalByLibrary(text))
          throw new Error(`${isCanonical(text)} for ${text}`)
      }),
      { numRuns: 3000 },
    )
  }
  t.pass()
})

t.test('refuses what only looks like canonical JSON', async (t) => {
  const bad = [
    '',
    ' 1',
    '01',
    '-0',
    '1.0',
    '1e3',
    '9007199254740992',
    '"\\u0041"',
    '"\\/"',
    '"\\u001F"',
    '"\\u000a"',
    '"\\u0000"',
    '{"b":1,"a":1}',
    '{"a":1,"a":1}',
    '[1,]',
    '{"a":1,}',
    'tru',
    '[[',
    '"a',
    `${'['.repeat(33)}${']'.repeat(33)}`,
  ]
  for (const text of bad) t.notOk(isCanonical(text), text)
  for (const text of [
    '0',
    '-1',
    '9007199254740991',
    '""',
    '"\\n\\u001f\\\\"',
    '{"":1,"a":[],"b":{}}',
    `${'['.repeat(32)}${']'.repeat(32)}`,
  ])
    t.ok(isCanonical(text), text)
})

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes))
const committed: fc.Arbitrary<Committed> = fc.record({ salt: bytes32, value: fc.string() })
const member = fc.stringMatching(/^[a-z0-9-]{2,40}$/)
const optional = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined })
const facts = fc
  .record({
    log: member.map((id) => `${id}/audit/2026`),
    id: fc.uuid({ version: 7 }),
    event: fc.constantFrom(...auditEvents),
    at: fc.date({ min: new Date('2026-01-01'), max: new Date('2036-01-01'), noInvalidDate: true }),
    from: optional(member),
    to: optional(member),
    ref: bytes32,
    n: fc.integer({ min: 1, max: 2 ** 31 }),
    head: bytes32,
    seen: fc.record({ size: fc.nat(Number.MAX_SAFE_INTEGER), root: bytes32.map((bytes) => bytes.toString('base64url')) }),
    peer: optional(bytes32.map((bytes) => bytes.toString('base64url'))),
  })
  .map(({ head, ...others }) => ({ ...others, prev: others.n === 1 ? undefined : head }))

t.test('reads every entry that the node writes, alone and inside a JSON string, and finds its commitments', async (t) => {
  fc.assert(
    fc.property(
      facts,
      committed,
      fc.dictionary(fc.stringMatching(/^[a-z]{2,20}$/), committed, { maxKeys: 6 }),
      (entry, actor, payload) => {
        const text = buildEntry(entry, actor, payload).bytes.toString()
        const quoted = JSON.stringify(text).slice(1, -1)
        const said = JSON.parse(text) as { payload: Record<string, string>; actor: string; seen: { size: number } }
        for (const read of [parseEntryText(text), matchEntry(quoted, 0, true)?.entry]) {
          if (!read) throw new Error('not read')
          if (
            read.n !== entry.n ||
            read.event !== entry.event ||
            read.seenSize !== said.seen.size ||
            read.prev !== entry.prev?.toString('base64url')
          )
            throw new Error('read otherwise')
          if (commitmentOf(read, 'actor') !== said.actor) throw new Error('another actor')
          for (const [name, commitment] of Object.entries(said.payload))
            if (commitmentOf(read, name) !== commitment) throw new Error('another commitment')
        }
      },
    ),
    { numRuns: 500 },
  )
  t.pass()
})

t.test('reads no entry with a member more, less, twice, or out of its place and form', async (t) => {
  const salt = Buffer.alloc(32)
  const base = {
    log: 'alpha/audit/2026',
    id: '018f0000-0000-7000-8000-000000000000',
    event: 'item.traced' as const,
    at: new Date('2026-03-01'),
    ref: salt,
    n: 1,
    prev: undefined,
    seen: { size: 0, root: salt.toString('base64url') },
  }
  const text = buildEntry(base, { salt, value: 1 }, { aa: { salt, value: 1 }, bb: { salt, value: 2 } }).bytes.toString()
  t.ok(parseEntryText(text))
  const [, aa = '', bb = ''] = /"payload":{("aa":"[^"]*"),("bb":"[^"]*")}/.exec(text) ?? []
  const bends = [
    ` ${text}`,
    `${text} `,
    text.replace('"n":1', '"n":01'),
    text.replace('"n":1', '"n":2'),
    text.replace('"n":1', '"n":0'),
    text.replace('"v":1', '"v":2'),
    text.replace(',"v":1', ',"to":"a","v":1'),
    text.replace('"v":1', '"v":1,"w":1'),
    text.replace(`${aa},${bb}`, `${bb},${aa}`),
    text.replace(`${aa},${bb}`, `${aa},${aa}`),
    text.replace('2026-03-01', '2026-13-01'),
    text.replace('"size":0', '"size":9007199254740992'),
    text.replace('item.traced', 'item'),
    text.replace('AAAA"', 'AAAB"'),
  ]
  for (const bent of bends) {
    t.not(bent, text)
    t.equal(parseEntryText(bent), undefined, bent.slice(0, 40))
  }
})

t.test('takes a tar header in one spelling only', async (t) => {
  const header = (await tarOf(new Map([['policy.txt', Buffer.from('x')]]))).subarray(0, 512)
  t.same(parseTarHeader(header), { name: 'policy.txt', size: 1 })
  t.equal(parseTarHeader(Buffer.alloc(512)), undefined)
  const bend = (at: number, bytes: string) => {
    const bent = Buffer.from(header)
    bent.write(bytes, at, 'latin1')
    const sum = bent.reduce((total, byte, place) => total + (place >= 148 && place < 156 ? 32 : byte), 0)
    bent.write(`${sum.toString(8).padStart(6, '0')} \0`, 148, 'latin1')
    return bent
  }
  t.same(parseTarHeader(bend(136, '00000000000')), { name: 'policy.txt', size: 1 }, 'a time says nothing')
  for (const [what, bent] of [
    ['a link', bend(156, '2')],
    ['an extended header', bend(156, 'x')],
    ['GNU', bend(257, 'ustar  \0')],
    ['a binary size', bend(124, '\x80\0\0\0\0\0\0\0\0\0\0\x01')],
    ['a size with spaces', bend(124, '          1 ')],
    ['a long name', bend(345, 'folder')],
    ['a name with bytes behind its end', bend(20, 'x')],
    ['an owner', bend(265, 'root')],
    ['something in the padding', bend(505, 'x')],
  ] as const)
    t.throws(() => parseTarHeader(bent), { code: 'broken_file' }, what)
  t.throws(() => parseTarHeader(Buffer.from(header).fill('y', 0, 1)), { code: 'broken_file' }, 'a wrong checksum')
})

t.test('keeps the heads of thousands of items apart, whatever the seed', async (t) => {
  for (const seed of [1, 0x7fffffff, 12_345]) {
    const heads = createItemHeads(seed)
    const ref = (n: number) => hash('sha256', `${n}`, 'buffer')
    const leaf = (n: number, k: number) => hash('sha256', `${n} ${k}`, 'buffer')
    for (let n = 0; n < 3000; n++) if (n % 10 === 0) heads.expect({ country: null, ref: ref(n), n: 2, last: leaf(n, 2) })
    for (let k = 1; k <= 2; k++)
      for (let n = 0; n < 3000; n++) {
        const prev = k === 1 ? undefined : leaf(n, 1).toString('base64url')
        const following = heads.advance({ ref: ref(n).toString('base64url'), n: k, prev, leaf: leaf(n, k) })
        if (following !== (k === 1 ? 'begins' : 'follows')) t.fail(`${following} at ${n}`)
      }
    t.equal(heads.size, 3000)
    t.same(heads.unmet(), { missing: 0, other: 0 })
    t.notOk(heads.expect({ country: null, ref: ref(0), n: 2, last: leaf(0, 2) }), 'twice')
    const next = (n: number, prev: Buffer | undefined) =>
      heads.advance({ ref: ref(1).toString('base64url'), n, prev: prev?.toString('base64url'), leaf: leaf(1, n) })
    t.equal(next(2, leaf(1, 1)), 'contradicts')
    t.equal(next(3, leaf(1, 9)), 'contradicts')
    t.equal(next(5, leaf(1, 4)), 'skips')
    t.equal(
      heads.advance({ ref: ref(9999).toString('base64url'), n: 2, prev: leaf(1, 1).toString('base64url'), leaf: leaf(1, 1) }),
      'begins_late',
    )
  }
})
