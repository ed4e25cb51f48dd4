// How long a peer that fails is left alone: by the number of failures, by how long they last, and by what the peer asked for.
import fc from 'fast-check'
import t from 'tap'
import { type FailureRun, nextRetry } from '#domain/retry-policy.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const almost1 = 1 - Number.EPSILON
const run = (facts: Partial<FailureRun>): FailureRun => ({ failures: 1, failingForMs: 0, random: almost1, ...facts })

t.test('doubles from 5 seconds to 15 minutes, and stays there for three days', async (t) => {
  const ceilings: [failures: number, delayMs: number][] = [
    [1, 5_000],
    [2, 10_000],
    [3, 20_000],
    [4, 40_000],
    [5, 80_000],
    [6, 160_000],
    [7, 320_000],
    [8, 640_000],
    [9, 15 * minuteMs],
    [10, 15 * minuteMs],
    [40, 15 * minuteMs],
    [100_000, 15 * minuteMs],
  ]
  for (const [failures, delayMs] of ceilings) {
    for (const failingForMs of [0, dayMs, 3 * dayMs - 1])
      t.same(nextRetry(run({ failures, failingForMs })), { kind: 'wait', delayMs }, `failure ${failures}`)
    t.same(nextRetry(run({ failures, random: 0.5 })), { kind: 'wait', delayMs: delayMs / 2 }, 'half of it, at random')
    t.same(nextRetry(run({ failures, random: 0 })), { kind: 'wait', delayMs: 250 }, 'never at once')
  }
})

t.test('tries hourly after three days, and leaves it to a person on day 30', async (t) => {
  const spans: [failingForMs: number, expected: object][] = [
    [3 * dayMs - 1, { kind: 'wait', delayMs: 15 * minuteMs }],
    [3 * dayMs, { kind: 'wait', delayMs: hourMs }],
    [10 * dayMs, { kind: 'wait', delayMs: hourMs }],
    [30 * dayMs - 1, { kind: 'wait', delayMs: hourMs }],
    [30 * dayMs, { kind: 'person' }],
    [400 * dayMs, { kind: 'person' }],
  ]
  for (const [failingForMs, expected] of spans) t.same(nextRetry(run({ failures: 500, failingForMs })), expected)
  t.same(nextRetry(run({ failures: 500, failingForMs: 3 * dayMs, random: 0 })), { kind: 'wait', delayMs: hourMs })
})

t.test('obeys a wait that was asked for, up to 15 minutes, and never shortens its own', async (t) => {
  const asked: [askedS: number, random: number, delayMs: number][] = [
    [0, 0, 250],
    [30, 0, 30_000],
    [30, almost1, 30_000],
    [2, almost1, 5_000],
    [15 * 60, 0, 15 * minuteMs],
    [86_400, 0, 15 * minuteMs],
    [Number.MAX_SAFE_INTEGER, 0, 15 * minuteMs],
  ]
  for (const [askedS, random, delayMs] of asked)
    t.same(nextRetry(run({ askedS, random })), { kind: 'wait', delayMs }, `${askedS} s asked`)
  t.same(nextRetry(run({ askedS: 600, failingForMs: 4 * dayMs })), { kind: 'wait', delayMs: hourMs })
  t.same(nextRetry(run({ askedS: 600, failingForMs: 30 * dayMs })), { kind: 'person' }, 'a peer can not keep us waiting for ever')
})

t.test('always waits, at least a moment and at most an hour, until it is a person’s', async (t) => {
  const facts = fc.record({
    failures: fc.integer({ min: 1, max: 1_000_000 }),
    failingForMs: fc.integer({ min: 0, max: 60 * dayMs }),
    askedS: fc.nat(),
    random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  })
  fc.assert(
    fc.property(facts, (each) => {
      const retry = nextRetry(each)
      if (retry.kind === 'person') return each.failingForMs >= 30 * dayMs
      return each.failingForMs < 30 * dayMs && retry.delayMs >= 250 && retry.delayMs <= hourMs
    }),
  )
  t.pass()
})

t.test('an outage of 3 and of 30 days, failure by failure, is tried often enough and then handed over', async (t) => {
  let failingForMs = 0
  let failures = 1
  let inThreeDays = 0
  while (failures < 10_000) {
    const retry = nextRetry({ failures, failingForMs, random: 0.5 })
    if (retry.kind === 'person') break
    if (failingForMs < 3 * dayMs) inThreeDays = failures
    failures += 1
    failingForMs += retry.delayMs
  }
  t.ok(failingForMs >= 30 * dayMs && failingForMs < 30 * dayMs + hourMs, 'a person hears of it on day 30')
  t.equal(Math.round(inThreeDays / 10), Math.round((3 * dayMs) / (7.5 * minuteMs) / 10), 'every 7.5 minutes on average')
  t.equal(failures - 1 - inThreeDays, 27 * 24, 'then hourly for 27 days')
})
