// The chaos run of `npm run chaos:audit`, as short as every run of the tests can bear. CROSSLINE_CHAOS_KILLS asks for more.
import t from 'tap'
import { isUnharmed, runChaos, steps } from '../crash/chaos-audit.ts'

const kills = Number(process.env.CROSSLINE_CHAOS_KILLS ?? 40)

t.setTimeout(180_000)
t.test(
  'however often its sealers and its database are killed, the log has every committed entry once',
  { timeout: 180_000 },
  async (t) => {
    const result = await runChaos(t, { kills, seconds: 90 })
    t.comment(JSON.stringify(result))
    const { lost, doubled, gaps, badCheckpoints, ahead, isPublished, haltedWhy, halts, fsck } = result
    t.same({ lost, doubled, gaps, badCheckpoints, ahead }, { lost: 0, doubled: 0, gaps: 0, badCheckpoints: 0, ahead: 0 })
    t.same({ isPublished, haltedWhy, halts, fsck }, { isPublished: true, haltedWhy: null, halts: [], fsck: 'valid' })
    t.ok(isUnharmed(result))
    t.ok(result.entries > 0 && result.checkpoints > 1 && result.looks > 0, 'there was something to lose')
    const missed = steps.filter((step) => !result.killsByStep[step])
    t.ok(kills < 40 || missed.length === 0, `killed at every step, but for: ${missed}`)
    t.ok(result.databaseStops > 0, 'and the database too')
  },
)
