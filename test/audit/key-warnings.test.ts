// What the keys of the audit log lack is told once a day while it lasts, and at once when it is something else; never which key.
import t from 'tap'
import type { HeldDirectory } from '#domain/held-directory.ts'
import { createLogger } from '#log.ts'
import { watchAuditKeys } from '#steps/look-at-audit-keys.ts'

t.test('is told once a day, and again when it is something else', async (t) => {
  const lines: string[] = []
  let now = new Date('2026-12-01T10:00:00.000Z')
  let keys: readonly object[] = [{ kid: 'of-2026', use: 'audit', state: 'current', year: 2026 }]
  let years = [2026]
  const look = watchAuditKeys({
    self: 'hotline-gb',
    now: () => now,
    log: createLogger({ level: 'info', destination: { write: (line: string) => void lines.push(line) } }),
    directory: () => ({ findMember: () => ({ keys }) }) as unknown as HeldDirectory,
    auditKey: (year) => {
      const own = years.findLast((each) => each <= year) ?? 0
      return { kid: `of-${own}`, year: own } as unknown as ReturnType<Parameters<typeof watchAuditKeys>[0]['auditKey']>
    },
  })
  const told = () => lines.splice(0).map((line) => JSON.parse(line))
  look()
  t.match(told(), [{ level: /warn|40/, step: 'audit-keys', year: 2027, lacks: 'key' }])
  look()
  t.same(told(), [], 'not with every look')
  now = new Date('2026-12-02T00:00:00.000Z')
  look()
  t.equal(told().length, 1, 'the next day')
  years = [2026, 2027]
  look()
  t.match(told(), [{ year: 2027, lacks: 'listing' }])
  keys = [...keys, { kid: 'of-2027', use: 'audit', state: 'next', year: 2027 }]
  look()
  t.same(told(), [], 'nothing lacks any more')
  years = [2026]
  now = new Date('2027-01-01T00:00:00.000Z')
  look()
  t.match(told(), [{ level: /error|50/, year: 2027, lacks: 'key' }])
})
