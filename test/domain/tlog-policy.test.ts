import fc from 'fast-check'
import t from 'tap'
import { makeVerifierKey } from '#domain/signed-note.ts'
import { describeQuorum, meetsQuorum, parsePolicy } from '#domain/tlog-policy.ts'
import type { CrosslineError } from '#errors.ts'

const keyOf = (name: string, type: 1 | 4, seed: number) => makeVerifierKey(name, type, Buffer.alloc(32, seed)).text
const log = keyOf('hotline-nl/audit/2026', 1, 1)
const key = (n: number) => keyOf(`w${n}.example/witness`, 4, 100 + n)

// Two of three here, and one of three there.
const twoLevels = `# Who must have seen a checkpoint of hotline-nl
log ${log} https://nl.example/audit

witness X1 ${key(1)}
\twitness  X2\t${key(2)} https://w2.example/
witness X3 ${key(3)} \t
group X 2 X1 X2 X3
witness Y1 ${key(4)}
witness Y2 ${key(5)}
  # a comment
group Y any Y1 Y2
group both all X Y
quorum both
`

t.test('reads logs, witnesses, groups and the quorum', async (t) => {
  const policy = parsePolicy(twoLevels)
  t.same(
    policy.logs.map(({ text }) => text),
    [log],
  )
  t.same(
    policy.witnesses.map(({ name, url }) => [name, url]),
    [
      ...[
        ['X1', undefined],
        ['X2', 'https://w2.example/'],
        ['X3', undefined],
        ['Y1', undefined],
        ['Y2', undefined],
      ],
    ],
  )
  t.equal(policy.witnesses[1]?.key.text, key(2))
  t.same(policy.groups, [
    { name: 'X', threshold: 2, members: ['X1', 'X2', 'X3'] },
    { name: 'Y', threshold: 1, members: ['Y1', 'Y2'] },
    { name: 'both', threshold: 2, members: ['X', 'Y'] },
  ])
  t.equal(policy.quorum, 'both')
  t.same(describeQuorum(policy), { needed: 3, of: 5 })
})

t.test('knows which witnesses are enough', async (t) => {
  const policy = parsePolicy(twoLevels)
  const names = policy.witnesses.map(({ name }) => name)
  for (let set = 0; set < 32; set++) {
    const chosen = names.filter((_, n) => Math.floor(set / 2 ** n) % 2 === 1)
    const isEnough = chosen.filter((name) => name[0] === 'X').length >= 2 && chosen.some((name) => name[0] === 'Y')
    t.equal(meetsQuorum(policy, new Set(chosen)), isEnough, chosen.join(' '))
  }
})

t.test('counts only names of witnesses that the policy has', async (t) => {
  const policy = parsePolicy(twoLevels)
  t.notOk(meetsQuorum(policy, new Set(['both', 'X', 'Y', 'none'])), 'a group does not witness by itself')
  t.notOk(
    meetsQuorum(policy, new Set(['w1.example/witness', 'w2.example/witness', 'w4.example/witness'])),
    'nor the name of a key',
  )
})

t.test('asks for one witness, or for none', async (t) => {
  const one = parsePolicy(`witness w ${key(1)}\nwitness v ${key(2)}\nquorum w\n`)
  t.ok(meetsQuorum(one, new Set(['w'])))
  t.notOk(meetsQuorum(one, new Set(['v'])))
  t.same(describeQuorum(one), { needed: 1, of: 1 })
  const none = parsePolicy('quorum none\n')
  t.ok(meetsQuorum(none, new Set()))
  t.same(describeQuorum(none), { needed: 0, of: 0 })
  t.same([none.logs, none.witnesses, none.groups], [[], [], []])
})

t.test('finds the fewest witnesses that are enough, where groups differ in size', async (t) => {
  const lines = [1, 2, 3, 4, 5].map((n) => `witness w${n} ${key(n)}\n`).join('')
  const policy = parsePolicy(`${lines}group three all w1 w2 w3\ngroup one any w4\ngroup any any three one w5\nquorum any\n`)
  t.same(describeQuorum(policy), { needed: 1, of: 5 })
})

t.test('takes keys of one member in both roles, and two keys of one log', async (t) => {
  const text = `log ${keyOf('nl/audit/2026', 1, 9)}\nlog ${keyOf('nl/audit/2026', 1, 8)}\nwitness nl ${keyOf('nl/witness', 4, 9)}\nquorum nl\n`
  t.equal(parsePolicy(text).logs.length, 2)
})

t.test('takes more logs, witnesses and groups than the specification asks for', async (t) => {
  const count = 1_000
  const lines = Array.from({ length: count }, (_, n) => {
    const publicKey = Buffer.alloc(32)
    publicKey.writeUInt32BE(n)
    const before = n === 0 ? '' : ` g${n - 1}`
    return [
      `log ${makeVerifierKey(`log${n}`, 1, publicKey).text}`,
      `witness w${n} ${makeVerifierKey(`w${n}`, 4, publicKey).text}`,
      `group g${n} all w${n}${before}\n`,
    ].join('\n')
  })
  const policy = parsePolicy(`${lines.join('')}quorum g${count - 1}\n`)
  t.same(describeQuorum(policy), { needed: count, of: count })
  const all = policy.witnesses.map(({ name }) => name)
  t.ok(meetsQuorum(policy, new Set(all)))
  t.notOk(meetsQuorum(policy, new Set(all.slice(1))))
})

t.test('names the line of a fault, and nothing of what stands there', async (t) => {
  const head = `log ${log}\nwitness w1 ${key(1)}\nwitness w2 ${key(2)}\n`
  const faults: [string, string][] = [
    ['an unknown word', 'secret w1'],
    ['a word in capitals', 'QUORUM w1'],
    ['a log without a key', 'log'],
    ['a log key of a witness', `log ${key(7)}`],
    ['a log key with the wrong id', `log ${log.replace(/\+[0-9a-f]{8}\+/, '+00000000+')}`],
    ['the same log twice', `log ${log}`],
    ['another log with the same key', `log ${keyOf('secret.example', 1, 1)}`],
    ['a log with too many words', `log ${keyOf('x', 1, 2)} https://x.example more`],
    ['a witness without a key', 'witness secret'],
    ['a witness with a log key', `witness secret ${keyOf('x', 1, 3)}`],
    ['two witnesses with one key', `witness secret ${keyOf('secret.example', 4, 101)}`],
    ['a name twice', `witness w1 ${key(7)}`],
    ['a witness named none', `witness none ${key(7)}`],
    ['a witness with too many words', `witness secret ${key(7)} https://x.example more`],
    ['a group without members', 'group secret all'],
    ['a group without a threshold', 'group secret w1 w2'],
    ['a threshold of 0', 'group secret 0 w1 w2'],
    ['a threshold above the members', 'group secret 3 w1 w2'],
    ['a threshold with a zero before', 'group secret 01 w1 w2'],
    ['a threshold with a sign', 'group secret +1 w1 w2'],
    ['a threshold in hexadecimal', 'group secret 0x1 w1 w2'],
    ['half a threshold', 'group secret 1.5 w1 w2'],
    ['a member twice', 'group secret 2 w1 w1'],
    ['a member that is not there', 'group secret any secret2'],
    ['a group in itself', 'group secret any secret'],
    ['none in a group', 'group secret any none'],
    ['a group with a name that is taken', 'group w1 any w2'],
    ['a quorum of nothing', 'quorum'],
    ['a quorum that is not there', 'quorum secret'],
    ['a quorum of two', 'quorum w1 w2'],
    ['a carriage return', 'quorum w1\r'],
    ['a null', 'quorum w1\0'],
    ['a delete', '# secret\u007f'],
    ['a no-break space for a space', 'quorum\u00a0w1'],
  ]
  for (const [name, line] of faults)
    try {
      parsePolicy(`${head}${line}\nquorum w1\n`)
      t.fail(name)
    } catch (error) {
      t.match(error, { code: 'bad_policy', facts: { line: 4 } }, name)
      t.notMatch((error as CrosslineError).message, /secret|example/, `${name}: nothing repeated`)
    }
})

t.test('lets a witness or a group count in one group only', async (t) => {
  const head = `witness w1 ${key(1)}\nwitness w2 ${key(2)}\ngroup g any w1\n`
  for (const line of ['group h any w1', 'group h all w2 w1'])
    t.throws(() => parsePolicy(`${head}${line}\nquorum h\n`), { code: 'bad_policy', facts: { line: 4 } }, line)
  t.throws(() => parsePolicy(`${head}group h any g\ngroup i any g\nquorum h\n`), { code: 'bad_policy', facts: { line: 5 } })
})

t.test('refuses a file without one quorum, or without its end', async (t) => {
  t.throws(() => parsePolicy(''), { code: 'bad_policy' })
  t.throws(() => parsePolicy(`log ${log}\n`), { code: 'bad_policy', facts: undefined })
  t.throws(() => parsePolicy('quorum none\nquorum none\n'), { code: 'bad_policy', facts: { line: 2 } })
  t.throws(() => parsePolicy(`quorum w\nwitness w ${key(1)}\n`), { code: 'bad_policy', facts: { line: 1 } }, 'defined too late')
  t.throws(() => parsePolicy('quorum none'), { code: 'bad_policy' }, 'cut off')
  t.throws(() => parsePolicy(`${'#'.repeat(1_100_000)}\nquorum none\n`), { code: 'bad_policy' }, 'too long')
})

t.test('throws nothing but its own error', async () => {
  const word = fc.constantFrom(
    'log',
    'witness',
    'group',
    'quorum',
    'none',
    'all',
    'any',
    '1',
    'a',
    'b',
    '#',
    log,
    key(1),
    key(2),
    '\n',
    '\t',
  )
  fc.assert(
    fc.property(fc.array(word, { maxLength: 30 }), (words) => {
      try {
        parsePolicy(`${words.join(' ')}\n`)
      } catch (error) {
        t.match(error, { code: 'bad_policy' })
      }
    }),
    { numRuns: 500 },
  )
})
