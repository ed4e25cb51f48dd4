// What may happen to an item, from which state and by whom: the invariants 1 to 5 of the domain, each line of them a line of a table.
import t from 'tap'
import {
  type ItemEvent,
  type ItemState,
  type LifeCycleFacts,
  type Outcome,
  verifyAction,
  verifyAssessment,
  verifyEvent,
} from '#domain/item-life-cycle.ts'
import type { CrosslineError } from '#errors.ts'
import type { Action, Assessment } from '#schema/report.ts'

type Classification = Assessment['classification']
type Code = Action['action']
type Reason = NonNullable<Action['reason']>

const us = 'hotline-se'
const sender = 'hotline-gb'
const stranger = 'hotline-jp'
/** An item that was handed to us and that we own. */
const held: LifeCycleFacts = { state: 'accepted', owner: us, handedBy: sender, handedTo: null, assessments: [], actions: [] }
const assessed = (...classifications: Classification[]): LifeCycleFacts => ({
  ...held,
  state: 'assessed',
  assessments: classifications.map((classification) => ({ classification })),
})
const withActions = (facts: LifeCycleFacts, ...actions: Code[]): LifeCycleFacts => ({
  ...facts,
  actions: actions.map((action) => ({ action })),
})

/** 'yes', or the code of the refusal; with where the field at fault is. */
function verdict(attempt: () => unknown): string {
  try {
    attempt()
    return 'yes'
  } catch (error) {
    const { code, pointer } = error as CrosslineError
    return pointer === undefined ? code : `${code} ${pointer}`
  }
}

const events: ItemEvent[] = ['accept', 'refuse', 'assess', 'act']
// State → what its owner may do, of an item that was handed to it.
const table: Record<ItemState, ItemEvent[]> = {
  received: [],
  traced: [],
  routed: ['accept'],
  sent: [],
  delivered: ['accept', 'refuse'],
  accepted: ['assess', 'act'],
  assessed: ['assess', 'act'],
  closed: [],
  needs_review: [],
  orphaned: [],
  untraceable: [],
  refused: [],
  on_hold: [],
  reopened: [],
}

t.test('from each state its owner may do just what the table says', async (t) => {
  for (const [state, allowed] of Object.entries(table) as [ItemState, ItemEvent[]][]) {
    const may = events.filter((event) => verdict(() => verifyEvent({ ...held, state }, event, us)) === 'yes')
    t.same(may, allowed, state)
  }
})

t.test('nobody but the owner may do anything, in any state', async (t) => {
  for (const state of Object.keys(table) as ItemState[])
    for (const event of events)
      for (const member of [sender, stranger])
        t.equal(
          verdict(() => verifyEvent({ ...held, state }, event, member)),
          'not_owner',
          `${member}: ${event} from ${state}`,
        )
})

t.test('an item on its way out is nobody’s to accept here', async (t) => {
  const leaving: LifeCycleFacts = { ...held, owner: us, handedBy: null, handedTo: stranger, state: 'routed' }
  for (const event of events)
    t.equal(
      verdict(() => verifyEvent(leaving, event, us)),
      'wrong_state',
      event,
    )
  for (const event of events)
    t.equal(
      verdict(() => verifyEvent(leaving, event, stranger)),
      'not_owner',
      event,
    )
})

t.test('whom it was sent to may answer before the receipt is recorded, and nobody else', async (t) => {
  const sent: LifeCycleFacts = { ...held, owner: us, handedBy: null, handedTo: stranger, state: 'sent' }
  const may = (member: string) => events.map((event) => verdict(() => verifyEvent(sent, event, member)))
  t.same(may(stranger), ['yes', 'yes', 'wrong_state', 'wrong_state'])
  t.same(may(us), Array(4).fill('wrong_state'))
  t.same(may(sender), Array(4).fill('not_owner'))
})

t.test('a refusal says in which state the item is and what would be allowed', async (t) => {
  t.throws(() => verifyEvent({ ...held, state: 'delivered' }, 'assess', us), {
    code: 'wrong_state',
    facts: { state: 'delivered', allowed: ['accept', 'refuse'] },
  })
  t.throws(() => verifyEvent({ ...held, state: 'closed' }, 'act', us), {
    code: 'wrong_state',
    facts: { state: 'closed', allowed: [] },
  })
})

t.test('only national can be overruled, and the last assessment is what counts', async (t) => {
  const lines: [Classification[], string][] = [
    [[], 'yes'],
    [['national'], 'yes'],
    [['national', 'national'], 'yes'],
    [['baseline'], 'wrong_state'],
    [['ignore'], 'wrong_state'],
    [['national', 'baseline'], 'wrong_state'],
    [['national', 'ignore'], 'wrong_state'],
  ]
  for (const [before, expected] of lines) {
    const facts = before.length === 0 ? held : assessed(...before)
    t.equal(
      verdict(() => verifyAssessment(facts, us)),
      expected,
      before.join() || 'the first',
    )
    t.equal(
      verdict(() => verifyAssessment(facts, sender)),
      'not_owner',
      `${before.join() || 'the first'}, by another`,
    )
  }
})

t.test('no assessment follows the first final action', async (t) => {
  for (const action of ['removed', 'unavailable', 'not_illegal'] as const) {
    const closed = { ...withActions(assessed('national'), action), state: 'closed' as const }
    t.equal(
      verdict(() => verifyAssessment(closed, us)),
      'wrong_state',
      action,
    )
  }
})

const act = (facts: LifeCycleFacts, action: Code, reason?: Reason): string | Outcome => {
  let outcome: Outcome | undefined
  const said = verdict(() => {
    outcome = verifyAction(facts, { action, ...(reason === undefined ? {} : { reason }) }, us)
  })
  return said === 'yes' ? (outcome ?? 'open') : said
}

t.test('each action, with and without a reason, before and after each assessment', async (t) => {
  // Action, reason → by the last assessment: none, baseline, national, ignore.
  const lines: [Code, Reason | undefined, [string, string, string, string]][] = [
    ['lea_notified', undefined, ['wrong_state', 'open', 'open', 'open']],
    ['provider_notified', undefined, ['wrong_state', 'open', 'open', 'open']],
    ['removed', undefined, ['wrong_state', 'removed', 'removed', 'removed']],
    ['unavailable', 'error_404', Array(4).fill('unavailable') as [string, string, string, string]],
    ['not_illegal', 'adult', ['wrong_state', 'wrong_state', 'wrong_state', 'not_illegal']],
    ['unavailable', undefined, Array(4).fill('schema_invalid /reason') as [string, string, string, string]],
    ['removed', 'other', ['wrong_state', ...Array(3).fill('schema_invalid /reason')] as [string, string, string, string]],
    ['lea_notified', 'other', ['wrong_state', ...Array(3).fill('schema_invalid /reason')] as [string, string, string, string]],
    ['not_illegal', undefined, ['wrong_state', ...Array(3).fill('schema_invalid /reason')] as [string, string, string, string]],
  ]
  const facts = [held, assessed('baseline'), assessed('national'), assessed('ignore')]
  for (const [action, reason, expected] of lines)
    t.same(
      facts.map((each) => act(each, action, reason)),
      expected,
      `${action}, ${reason ?? 'no reason'}`,
    )
  t.equal(act(assessed('national', 'ignore'), 'not_illegal', 'nudism'), 'not_illegal', 'the last assessment counts')
  t.equal(act(assessed('national', 'baseline'), 'not_illegal', 'nudism'), 'wrong_state')
})

t.test('both notifications may be set, each once, and nothing after a final action', async (t) => {
  const facts = assessed('baseline')
  t.equal(act(withActions(facts, 'lea_notified'), 'provider_notified'), 'open')
  t.equal(act(withActions(facts, 'provider_notified'), 'lea_notified'), 'open')
  t.equal(act(withActions(facts, 'lea_notified', 'provider_notified'), 'removed'), 'removed')
  for (const action of ['lea_notified', 'provider_notified'] as const)
    t.equal(act(withActions(facts, action), action), 'wrong_state', `${action} a second time`)
  const closed = { ...withActions(facts, 'removed'), state: 'closed' as const }
  for (const action of ['lea_notified', 'provider_notified', 'removed'] as const)
    t.equal(act(closed, action), 'wrong_state', `${action} after the end`)
  t.equal(act(closed, 'unavailable', 'error_404'), 'wrong_state')
  t.equal(act(closed, 'not_illegal', 'adult'), 'wrong_state')
})

t.test('nobody but the owner acts, whatever the action', async (t) => {
  const facts = assessed('ignore')
  for (const member of [sender, stranger])
    for (const action of ['lea_notified', 'provider_notified', 'removed'] as const)
      t.equal(
        verdict(() => verifyAction(facts, { action }, member)),
        'not_owner',
        `${action} by ${member}`,
      )
})
