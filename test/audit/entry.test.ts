// The bytes of an audit entry: canonical as RFC 8785 says, whatever the values, with commitments that open and hide what they commit to.
import { hash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import canonicalize from 'canonicalize'
import fc from 'fast-check'
import t from 'tap'
import { buildEntry, type Committed, commit, type EntryFacts, toJcs } from '#domain/audit-entry.ts'
import { auditEvents, type Entry } from '#schema/audit.ts'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes))
const digest = bytes32.map((bytes) => bytes.toString('base64url'))
const member = fc.stringMatching(/^[a-z0-9-]{2,40}$/)
// I-JSON: whole code points, integers below 2^53.
const json = fc
  .jsonValue({ stringUnit: 'grapheme', noUnicodeString: false })
  .filter((value) => !/\d\.\d|e[+-]\d/i.test(JSON.stringify(value)))
const committed = fc.record({ salt: bytes32, value: json })
const optional = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined })

const facts: fc.Arbitrary<EntryFacts> = fc.record({
  log: member.map((id) => `${id}/audit/2026`),
  id: fc.uuid({ version: 7 }),
  event: fc.constantFrom(...auditEvents),
  at: fc.date({ min: new Date('2026-01-01'), max: new Date('2036-01-01'), noInvalidDate: true }),
  from: optional(member),
  to: optional(member),
  ref: bytes32,
  n: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  prev: optional(bytes32),
  seen: fc.record({ size: fc.nat(Number.MAX_SAFE_INTEGER), root: digest }),
  peer: optional(digest),
})
const payload = fc.dictionary(fc.stringMatching(/^[a-z]{2,20}$/), committed, { maxKeys: 6 })

t.test('the bytes are the canonical form of what they say, and the leaf is their hash', async (t) => {
  fc.assert(
    fc.property(facts, committed, payload, (entry, actor, fields) => {
      const { bytes, leaf } = buildEntry(entry, actor, fields)
      const parsed = JSON.parse(bytes.toString()) as Entry
      if (canonicalize(parsed) !== bytes.toString()) throw new Error('not canonical')
      if (!leaf.equals(hash('sha256', Buffer.concat([Buffer.of(0), bytes]), 'buffer'))) throw new Error('another leaf')
      checkMembers(parsed, entry)
      checkCommitments(parsed, actor, fields)
    }),
    { numRuns: 300 },
  )
  t.pass()
})

function checkMembers(parsed: Entry, { at, from, to, prev, n, event, ref, peer }: EntryFacts): void {
  const said = [parsed.at, parsed.from, parsed.to, parsed.prev, parsed.n, parsed.event, parsed.ref, parsed.peer, parsed.v]
  const meant = [at.toISOString(), from, to, prev?.toString('base64url'), n, event, ref.toString('base64url'), peer, 1]
  if (JSON.stringify(said) !== JSON.stringify(meant)) throw new Error('the members say something else')
}

function checkCommitments(parsed: Entry, actor: Committed, fields: Record<string, Committed>): void {
  const open = ({ salt, value }: Committed) =>
    hash('sha256', Buffer.concat([salt, Buffer.from(canonicalize(value) ?? '')]), 'base64url')
  if (parsed.actor !== open(actor)) throw new Error('the actor does not open')
  if (Object.keys(parsed.payload).length !== Object.keys(fields).length) throw new Error('a field is missing')
  for (const [name, field] of Object.entries(fields))
    if (parsed.payload[name] !== open(field)) throw new Error('a field does not open')
}

t.test('any JSON value is committed to in its canonical form', async (t) => {
  fc.assert(fc.property(json, (value) => toJcs(value) === canonicalize(value)))
  t.throws(() => toJcs(undefined), TypeError)
  t.throws(() => toJcs(() => 1), TypeError)
})

t.test('another salt or another value gives another commitment', async (t) => {
  fc.assert(
    fc.property(committed, bytes32, json, ({ salt, value }, otherSalt, otherValue) => {
      const same = commit({ salt, value })
      fc.pre(!salt.equals(otherSalt) && toJcs(value) !== toJcs(otherValue))
      return (
        same === commit({ salt, value }) &&
        same !== commit({ salt: otherSalt, value }) &&
        same !== commit({ salt, value: otherValue })
      )
    }),
  )
  t.pass()
})

const vectors = process.env.CROSSLINE_VECTORS

t.test('the published vectors of RFC 8785 match', { skip: vectors ? false : 'CROSSLINE_VECTORS is not set' }, async (t) => {
  const folder = join(vectors ?? '', 'json-canonicalization', 'testdata')
  const names = readdirSync(join(folder, 'input'))
  t.ok(names.length >= 6)
  for (const name of names) {
    const value: unknown = JSON.parse(readFileSync(join(folder, 'input', name), 'utf8'))
    t.equal(toJcs(value), readFileSync(join(folder, 'output', name), 'utf8').trimEnd(), name)
    const hex = readFileSync(join(folder, 'outhex', name.replace('.json', '.txt')), 'utf8').replaceAll(/\s+/g, '')
    t.equal(Buffer.from(toJcs(value)).toString('hex'), hex, `${name}, byte for byte`)
  }
})
