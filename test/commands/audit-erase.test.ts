// The operator's commands about erasing, as a person runs them: what is asked wrongly changes nothing and says what to do.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { close, envOf, openPlace, submit } from '../audit/erasing.ts'
import { run } from './program.ts'

const id = '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071'

t.test('asked wrongly, it says what it takes', async (t) => {
  const erase = ['audit', 'erase', '--item', id]
  const hold = ['audit', 'hold', '--item', id, '--basis', 'court_order']
  const wrong: [string[], RegExp][] = [
    [erase, /required option '--basis/],
    [[...erase, '--basis', 'whim'], /--basis is one of retention, not_needed, data_subject/],
    [[...erase, '--basis', 'unlawful', '--report', id], /Name one: --item or --report/],
    [['audit', 'erase', '--basis', 'unlawful'], /Name one: --item or --report/],
    [['audit', 'erase', '--item', 'all', '--basis', 'unlawful'], /UUIDv7/],
    [['audit', 'hold', '--item', id, '--basis', 'retention'], /--basis is one of police_request/],
    [[...hold, '--until', 'soon'], /--until is a day/],
    [[...hold, '--until', '2026-13-45'], /--until is a day/],
    [['audit', 'release-hold', 'that'], /A hold is named by the id/],
    [[...erase, '--basis', 'unlawful'], /MEMBER_ID|no journal of erasures/],
  ]
  for (const [args, says] of wrong) {
    const { code, stdout, stderr } = await run(args)
    t.equal(code, 2, args.join(' '))
    t.match(stderr, says)
    t.equal(stdout, '')
  }
})

t.test('erases, holds and replays', async (t) => {
  const place = await openPlace(t)
  const { gb, network } = place
  const { report, id: item } = await submit(place, ['home'])
  await close(gb, item)
  const env = envOf(network, gb)
  const done = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(['audit', ...args], env)
    return { code, said: `${stdout}${stderr}` }
  }
  const placed = await done('hold', '--report', report, '--until', '2099-01-31', '--basis', 'legal_claim')
  t.match(placed, { code: 0, said: /^hold \S+ on report \S+, until 2099-01-31T23:59:59\.999Z$/m })
  const hold = /^hold (\S+)/.exec(placed.said)?.[1] ?? ''
  t.match(await done('hold', '--item', item, '--until', '2020-01-31', '--basis', 'legal_claim'), {
    code: 2,
    said: /over already/,
  })
  t.match(await done('erase', '--item', item, '--basis', 'not_needed'), { code: 1, said: /^crossline: legal_hold: / })
  t.match(await done('holds'), { code: 0, said: new RegExp(`^${hold}  report  ${report}  legal_claim  until 2099`) })
  t.match(await done('release-hold', hold), { code: 0, said: /^released hold/ })
  t.match(await done('erase', '--report', report, '--basis', 'not_needed', '--reason-file', join(network.folder, 'none')), {
    code: 1,
    said: /broken_file: --reason-file/,
  })
  t.match(await done('erase', '--report', report, '--basis', 'not_needed'), { code: 0, said: /^erased report .* 2 keys/ })
  t.match(await done('erase', '--report', report, '--basis', 'not_needed'), { code: 0, said: /was erased before/ })
  t.match(await done('erase', '--item', id, '--basis', 'not_needed'), { code: 1, said: /not_found/ })
  t.match(await done('replay-erasures', '--dry-run'), { code: 0, said: /know the same/ })
  const elsewhere = join(network.folder, 'elsewhere')
  mkdirSync(elsewhere)
  const lost = await run(['audit', 'replay-erasures'], { ...env, DATA_DIR: elsewhere, MASTER_KEY: gb.config.masterKey })
  t.match(lost, { code: 2, stderr: /no journal of erasures/ })
})
