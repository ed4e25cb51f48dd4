// The life cycle of an item as one table: which event is allowed from which state, and where it leads (domain.md, "Life cycle").
// Pure; storage, API and messages ask it before they change anything.
import { CrosslineError } from '#errors.ts'
import type { Action, Assessment, Item } from '#schema/report.ts'

export type ItemState = Item['state']
export type Outcome = NonNullable<Item['outcome']>
/** What an owner does with an item, or a peer tells of it. */
export type ItemEvent = 'accept' | 'refuse' | 'assess' | 'act'

/** An item as far as the rules look at it. */
export interface LifeCycleFacts {
  state: ItemState
  owner: string
  /** Who handed it to this node; null if it was submitted here. */
  handedBy: string | null
  /** Whom this node handed it to; null if nobody. */
  handedTo: string | null
  assessments: readonly Pick<Assessment, 'classification'>[]
  actions: readonly Pick<Action, 'action'>[]
}

const allowedFrom: Record<ItemEvent, readonly ItemState[]> = {
  // An item hosted at home skips sent and delivered: it is accepted from routed.
  accept: ['routed', 'delivered'],
  refuse: ['delivered'],
  assess: ['accepted', 'assessed'],
  act: ['accepted', 'assessed'],
}

const finalOutcomes: Partial<Record<Action['action'], Outcome>> = {
  removed: 'removed',
  unavailable: 'unavailable',
  not_illegal: 'not_illegal',
}

/** Who owns the item, as the rules see it: a handoff that was sent may have been stored before its receipt came back. */
function isOwner(facts: LifeCycleFacts, member: string): boolean {
  return facts.owner === member || (facts.state === 'sent' && facts.handedTo === member)
}

/** Throws `not_owner`, or `wrong_state` with the state and what would be allowed. */
export function verifyEvent(facts: LifeCycleFacts, event: ItemEvent, member: string): void {
  if (!isOwner(facts, member)) throw new CrosslineError('not_owner')
  const state = facts.state === 'sent' && facts.handedTo === member ? 'delivered' : facts.state
  // Routed to a peer is on its way out; only an item hosted at home is accepted from routed.
  const isLeaving = state === 'routed' && facts.handedTo !== null
  if (isLeaving || !allowedFrom[event].includes(state))
    throw wrongState({ ...facts, state }, 'The state of the item does not allow this.')
}

/** An assessment may follow unless the last one is locked: only `national` can be overruled (invariant 2). */
export function verifyAssessment(facts: LifeCycleFacts, member: string): void {
  verifyEvent(facts, 'assess', member)
  const last = facts.assessments.at(-1)?.classification
  if (last !== undefined && last !== 'national')
    throw wrongState(facts, 'The last assessment is locked: only national can be overruled.')
}

/** An action by the rules 3 to 5. Gives the outcome that closes the item, or undefined for an action that is not final. */
export function verifyAction(
  facts: LifeCycleFacts,
  action: Pick<Action, 'action' | 'reason'>,
  member: string,
): Outcome | undefined {
  verifyEvent(facts, 'act', member)
  if (facts.actions.some((each) => each.action === action.action)) throw wrongState(facts, 'This action was taken before.')
  if (facts.state === 'accepted' && action.action !== 'unavailable')
    throw wrongState(facts, 'Only unavailable may be set before an assessment.')
  const needsReason = action.action === 'unavailable' || action.action === 'not_illegal'
  if (needsReason !== (action.reason !== undefined)) {
    throw new CrosslineError('schema_invalid', {
      pointer: '/reason',
      detail: needsReason ? 'This action needs a reason.' : 'A reason belongs to unavailable and not_illegal only.',
    })
  }
  const last = facts.assessments.at(-1)?.classification
  if (action.action === 'not_illegal' && last !== 'ignore')
    throw wrongState(facts, 'not_illegal needs a last assessment of ignore.')
  return finalOutcomes[action.action]
}

function wrongState(facts: LifeCycleFacts, detail: string): CrosslineError {
  const allowed = (Object.keys(allowedFrom) as ItemEvent[]).filter((event) => allowedFrom[event].includes(facts.state))
  return new CrosslineError('wrong_state', { detail, facts: { state: facts.state, allowed } })
}
