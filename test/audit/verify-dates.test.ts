// When an entry was written, as the offline verifier proves it: between two checkpoints that enough witnesses had signed. Each way to lie about
// it, or to hold back what shows it, as one sentence; the manifest always fits.
import t, { type Test } from 'tap'
import { reportVerification } from '#domain/report-verification.ts'
import type { Stage, VerdictKind } from '#domain/verdict.ts'
import {
  bundleOf,
  growLog,
  type Line,
  leafOf,
  type Members,
  membersOf,
  newKey,
  newNetwork,
  signTree,
  toLines,
  verify,
  withBrackets,
} from '../bundle.ts'

const network = newNetwork()
const start = Date.parse('2026-03-01T10:00:00.000Z')
const plans = Array.from({ length: 24 }, (_, n) => ({ item: `item ${n % 5}` }))
/** One entry a second. Those in `dates` are dated otherwise, in seconds after the first. */
const grow = (dates: Record<number, number> = {}) =>
  growLog(
    network,
    plans.map((plan, n) => (n in dates ? { ...plan, bent: { at: atS(dates[n] as number) } } : plan)),
  )
const atS = (seconds: number) => new Date(start + seconds * 1000).toISOString()
const leavesOf = (lines: readonly Line[]) => lines.map(({ entry }) => leafOf(entry))
const sizes = [4, 8, 12, 16, 20]
/** Each tree is cosigned five seconds after its last entry, the whole log after ten minutes. */
const notesOf = (lines: readonly Line[], of: readonly number[] = sizes) =>
  of.map((size) => signTree(network, leavesOf(lines).slice(0, size)))
const membersWith = (lines: readonly Line[], notes: readonly string[], afterS = 600): Members =>
  withBrackets(membersOf(network, { lines, leaves: leavesOf(lines), note: signTree(network, leavesOf(lines), { afterS }) }), [
    notes,
  ])
const look = async (lines: readonly Line[], notes: readonly string[] = notesOf(lines), policy = network.policy) =>
  verify(await bundleOf(membersWith(lines, notes), { complete: 'log' }), policy)
const file = '2026/brackets/000000.ndjson'

type Expected = { kind: VerdictKind; stage: Stage; index?: number }
function shows(t: Test, found: Awaited<ReturnType<typeof look>>, { kind, stage, index }: Expected): void {
  t.equal(found.verdict, kind, JSON.stringify(found.faults))
  t.match(found.faults[0], { stage, ...(index === undefined ? {} : { index }) })
}

const log = grow()

t.test('each entry of an honest log stands between two checkpoints, but for the first', async (t) => {
  const found = await look(log)
  t.equal(found.verdict, 'valid', JSON.stringify(found.faults))
  // From 20 entries, cosigned at 25 s, to the whole log at 600 s.
  t.match(found.counts, { entries: 24, bracketed: 20, noEarlier: 4, unusedNotes: 0 })
  t.same(found.counts.widest, { seconds: 575, log: network.origin, index: 20 })
  const page = reportVerification(found, 'bundle')
  t.match(page, 'Dates: 20 of 24 entries stand between two checkpoints that enough witnesses had signed, at most 575 s apart')
  t.match(page, 'that 4 entries were not dated back')
})

t.test(
  'an entry that is dated before witnesses had cosigned the log without it is told, one within the tolerance is not',
  async (t) => {
    // The log of twelve was cosigned at 17 s; an entry may wait for a minute, and clocks differ by another.
    shows(t, await look(grow({ 13: -103.001 })), { kind: 'tampered', stage: 'time', index: 13 })
    shows(t, await look(grow({ 13: -3600 })), { kind: 'tampered', stage: 'time', index: 13 })
    t.match(await look(grow({ 13: -103 })), { verdict: 'valid' })
    t.match(await look(grow({ 12: -103 })), { verdict: 'valid' })
    shows(t, await look(grow({ 12: -104 })), { kind: 'tampered', stage: 'time', index: 12 })
    t.match(await look(grow({ 11: -104 })), { verdict: 'valid' }, 'of the entry before, only the log of eight is known')
  },
)

t.test('entries that waited for a minute to be sealed, by a clock that is a minute behind, are honest', async (t) => {
  const waited = Object.fromEntries(plans.map((_, n) => [n, Math.floor(n / 4) * 4 + 5 - 120]))
  t.match(await look(grow(waited)), { verdict: 'valid', counts: { bracketed: 20 } })
})

t.test(
  'an entry that is dated after the first checkpoint with it is told, though the log was cosigned again later',
  async (t) => {
    // The log of eight was cosigned at 13 s.
    shows(t, await look(grow({ 5: 73.001 })), { kind: 'tampered', stage: 'time', index: 5 })
    t.match(await look(grow({ 5: 73 })), { verdict: 'valid' })
    t.match(await look(grow({ 5: 74 }), []), { verdict: 'valid' }, 'which is not seen without it')
  },
)

/** The log of twelve, cosigned by one witness at 17 s and by the other later. */
function splitNote(lines: readonly Line[], laterS: number): string {
  const leaves = leavesOf(lines).slice(0, 12)
  const [one, other] = network.witnesses
  const first = signTree(network, leaves, { witnesses: [one as (typeof network.witnesses)[0]] })
  const second = signTree(network, leaves, { witnesses: [other as (typeof network.witnesses)[0]], afterS: laterS })
  return `${first}${second.split('\n').at(-2)}\n`
}

t.test('what counts is the moment when enough witnesses had signed: the earliest of them that are enough', async (t) => {
  const dated = grow({ 13: 0 })
  const note = splitNote(dated, 130)
  shows(t, await look(dated, [note]), { kind: 'tampered', stage: 'time', index: 13 })
  const one = network.policy.replace('group quorum-group 2', 'group quorum-group 1')
  t.match(await look(dated, [note], one), { verdict: 'valid' }, 'one of them is enough by another policy')
})

t.test('checkpoints that are held back show as a wide gap, and as entries that nothing bounds', async (t) => {
  const back = grow({ 13: -105 })
  shows(t, await look(back), { kind: 'tampered', stage: 'time', index: 13 })
  t.match(await look(back, notesOf(back, [4])), {
    verdict: 'valid',
    counts: { bracketed: 20, widest: { seconds: 591, index: 4 }, noEarlier: 4 },
  })
  const none = await look(back, [])
  t.match(none, { verdict: 'valid', counts: { bracketed: 0, widest: null, noEarlier: 24 } })
  t.match(reportVerification(none, 'bundle'), /Dates: 0 of 24 .*\n(?:.*\n)*- that 24 entries were not dated back/)
})

t.test(
  'a checkpoint that too few witnesses of the policy have signed bounds nothing, nor one by a key that it does not name',
  async (t) => {
    const back = grow({ 13: -3600 })
    const leaves = leavesOf(back).slice(0, 12)
    const notes = {
      'one witness': signTree(network, leaves, { witnesses: network.witnesses.slice(0, 1) }),
      'no witness': signTree(network, leaves, { witnesses: [] }),
      'other witnesses': signTree(network, leaves, { witnesses: newNetwork().witnesses }),
      'another key of the log': signTree(network, leaves, { log: newKey() }),
    }
    for (const [what, note] of Object.entries(notes)) {
      const found = await look(back, [note])
      t.match(found, { verdict: 'valid', counts: { bracketed: 0, noEarlier: 24, unusedNotes: 1 } }, what)
      t.match(reportVerification(found, 'bundle'), /- anything by 1 checkpoints beside the entries/)
    }
  },
)

t.test('a policy that asks for no witness proves no date, and the page says so', async (t) => {
  const nobody = network.policy.replace(/\nquorum .*\n/, '\nquorum none\n')
  const found = await look(log, notesOf(log), nobody)
  t.match(found, { verdict: 'valid', counts: { bracketed: 0 } })
  t.match(reportVerification(found, 'bundle'), 'or for when it was written: the policy asks for no witness')
})

t.test('a checkpoint that the log never had is told: it was forged, or the log tells two stories', async (t) => {
  const other = grow({ 3: 4 })
  const notes = notesOf(log)
  const forgedAt = (n: number, note: string) => look(log, notes.with(n, note))
  const [, , third = ''] = notes
  shows(t, await forgedAt(2, notesOf(other)[2] as string), { kind: 'tampered', stage: 'consistency' })
  const longer = signTree(network, [...leavesOf(log), leafOf('one more')])
  shows(t, await look(log, [...notes, longer]), { kind: 'tampered', stage: 'consistency' })
  shows(t, await forgedAt(2, third.replace('\n12\n', '\n13\n')), { kind: 'tampered', stage: 'signature' })
  const strange = newNetwork({ member: 'delta' })
  shows(t, await forgedAt(2, signTree(strange, leavesOf(log).slice(0, 12))), { kind: 'tampered', stage: 'read' })
  const unwitnessed = signTree(network, leavesOf(other).slice(0, 12), { witnesses: [] })
  shows(t, await forgedAt(2, unwitnessed), { kind: 'tampered', stage: 'consistency' })
})

t.test('checkpoints come in the order of their sizes, each once', async (t) => {
  const [one = '', two = ''] = notesOf(log)
  shows(t, await look(log, [two, one]), { kind: 'tampered', stage: 'time' })
  shows(t, await look(log, [one, one]), { kind: 'tampered', stage: 'time' })
  // Also those that no entry needs.
  const last = notesOf(log, [23, 24, 22])
  shows(t, await look(log, last), { kind: 'tampered', stage: 'time' })
})

t.test('where the hashes that lead to a checkpoint are not in the bundle, its signatures count', async (t) => {
  const lines = growLog(
    network,
    Array.from({ length: 600 }, () => ({ item: 'one' })),
    { seenEvery: 600 },
  )
  const notes = [100, 500].map((size) => signTree(network, leavesOf(lines).slice(0, size)))
  const members = membersOf(network, { lines: lines.slice(300, 301), leaves: leavesOf(lines) })
  const found = verify(await bundleOf(withBrackets(members, [notes])), network.policy)
  t.match(
    found,
    { verdict: 'valid', counts: { bracketed: 1, widest: { seconds: 400, index: 300 } } },
    JSON.stringify(found.faults),
  )
})

t.test('each chunk brings what it needs, and nothing is carried over', async (t) => {
  const members = membersOf(network, { lines: log, leaves: leavesOf(log), chunk: 10 })
  const found = verify(await bundleOf(withBrackets(members, [notesOf(log, [4, 12]), [], notesOf(log, [20])])), network.policy)
  t.match(found, { verdict: 'valid', counts: { bracketed: 10, noEarlier: 14 } })
})

t.test('lines that are not in their exact form are unreadable', async (t) => {
  const members = membersWith(log, notesOf(log))
  const text = (members.get(file) as Buffer).toString()
  const bends: Record<string, string> = {
    'white space': text.replace('{"note"', '{ "note"'),
    'a member more': text.replace('{"note"', '{"a":1,"note"'),
    'another escape': text.replace('\\n', '\\u000a'),
    'an empty line': `${text}\n`,
    'no end': text.slice(0, -1),
    CRLF: text.replaceAll('\n', '\r\n'),
    'a note with CRLF': text.replaceAll('\\n', '\\r\\n'),
    'no note': toLines([{ note: 'nothing' }]).toString(),
    'no text': toLines([{ note: 1 }]).toString(),
    nothing: '\n',
  }
  for (const [what, bent] of Object.entries(bends)) {
    const found = verify(await bundleOf(new Map([...members, [file, Buffer.from(bent)]]), { complete: 'log' }), network.policy)
    t.match(found, { verdict: 'unreadable', faults: [{ stage: 'read' }] }, what)
  }
  const empty = verify(await bundleOf(new Map([...members, [file, Buffer.alloc(0)]]), { complete: 'log' }), network.policy)
  t.match(empty, { verdict: 'valid', counts: { bracketed: 0 } }, 'none at all is as no file')
})

t.test('a checkpoint beside entries with a changed byte is refused, or counts for nothing and is told', async (t) => {
  const small = growLog(network, plans.slice(0, 4))
  const members = membersOf(network, { lines: small, leaves: leavesOf(small) })
  const note = signTree(network, leavesOf(small).slice(0, 2))
  t.match(verify(await bundleOf(withBrackets(members, [[note]])), network.policy), { verdict: 'valid', counts: { bracketed: 2 } })
  const bytes = Buffer.from(note)
  const unseen: number[] = []
  for (let at = 0; at < bytes.length; at++) {
    const bent = Buffer.from(bytes)
    bent[at] = (bent[at] as number) ^ 1
    const { verdict, counts } = verify(await bundleOf(withBrackets(members, [[bent.toString()]])), network.policy)
    if (verdict === 'valid' && (counts.unusedNotes !== 1 || counts.bracketed !== 0)) unseen.push(at)
  }
  t.same(unseen, [])
})

t.test('checkpoints that stand beside no entries are told, and a bundle that is cut off there is incomplete', async (t) => {
  const members = membersWith(log, notesOf(log))
  const stray = new Map([...members, ['2026/brackets/000001.ndjson', members.get(file) as Buffer]])
  shows(t, verify(await bundleOf(stray, { complete: 'log' }), network.policy), { kind: 'tampered', stage: 'time' })
  const bytes = await bundleOf(members, { complete: 'log' })
  const cut = bytes.indexOf('2026/entries/000000.ndjson')
  t.match(verify(bytes.subarray(0, cut), network.policy), { verdict: 'incomplete', faults: [{ stage: 'read' }] })
})

t.test('a time that no entry can bear stops nothing', async (t) => {
  const far = 8_640_000_000_000 - start / 1000
  const never = signTree(network, leavesOf(log).slice(0, 4), { afterS: far })
  shows(t, await look(log, [never]), { kind: 'tampered', stage: 'time', index: 4 })
  const members = membersWith(log, [never], far)
  t.equal(verify(await bundleOf(members), network.policy).verdict, 'tampered')
  const early = signTree(network, leavesOf(log).slice(0, 4), { afterS: -start / 1000 })
  t.match(await look(log, [early]), { verdict: 'tampered', faults: [{ stage: 'time', index: 0 }] }, 'nor the first of all times')
})
