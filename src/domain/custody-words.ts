// What the entries of one item say, in plain words: who did what, and who had the item afterwards. Codes stay as they are: a person can look them up.

/** What is known of one entry: its event, who to whom, and its facts where the reader may see them. */
export interface ToldEntry {
  event: string
  from?: string | undefined
  to?: string | undefined
  facts: Readonly<Record<string, unknown>>
}

export interface CustodyWords {
  /** The member that had the item after this entry; null when the entries seen so far don't say. */
  holder: string | null
  text: string
}

/** A sentence and the holder for each entry of one item, in their order. */
export function describeCustody(entries: readonly ToldEntry[]): CustodyWords[] {
  let holder: string | null = null
  let handedBy: string | null = null
  return entries.map((entry) => {
    if (entry.event === 'handoff.received') handedBy = entry.from ?? null
    holder = holderAfter(entry, { holder, handedBy })
    return { holder, text: `${describe(entry)}.` }
  })
}

type Known = { holder: string | null; handedBy: string | null }

function holderAfter({ event, facts, ...entry }: ToldEntry, { holder, handedBy }: Known): string | null {
  const { from, to } = { from: entry.from ?? null, to: entry.to ?? null }
  switch (event) {
    case 'handoff.received':
      return to
    case 'handoff.receipt':
      return isStored(facts) ? from : holder
    case 'handoff.refused':
      // Ownership falls back to the one that handed over: the one told, or at the refusing node the one that it came from.
      return to ?? handedBy
    case 'handoff.accepted':
      return from ?? holder
    default:
      return holder ?? (event.startsWith('item.') ? from : null)
  }
}

const isStored = ({ kind, status }: ToldEntry['facts']): boolean =>
  status !== undefined && kind === 'handoff' && !isFailed(status)
const isFailed = (status: unknown): boolean => status === 'rejected' || status === 'refused' || status === 'unreadable'

function describe(entry: ToldEntry): string {
  const { event, from = 'a member not shown', to, facts } = entry
  const because = typeof facts['reason'] === 'string' && facts['reason'] !== 'none' ? `, reason ${facts['reason']}` : ''
  const code = (name: string): string => (typeof facts[name] === 'string' ? facts[name] : 'not shown')
  switch (event) {
    case 'report.submitted':
      return `${from} took in the report`
    case 'item.traced':
      return `${from} traced the host: country ${code('country')}, rule ${code('rule')}, confidence ${code('confidence')}`
    case 'item.trace_conflict':
      return `${from} found that the traces of the host disagree or are hidden`
    case 'item.untraceable':
      return `${from} could not trace the host, rule ${code('rule')}`
    case 'item.orphaned':
      return `${from} found no hotline that covers the country`
    case 'item.routed':
      return to === undefined ? `${from} keeps the item, rule ${code('rule')}` : `${from} chose ${to}, rule ${code('rule')}`
    case 'handoff.sent':
      return `${from} sent the item to ${to}`
    case 'handoff.received':
      return `${to} stored the item that ${from} handed over`
    case 'handoff.receipt':
      return describeReceipt(from, facts)
    case 'handoff.accepted':
      return `${from} accepted the item`
    case 'handoff.refused':
      return `${from} refused the item${because}`
    case 'assessment.added':
      return `${from} assessed the item as ${code('classification')}`
    case 'action.recorded':
      return `${from} recorded the action ${code('code')}${because}`
    case 'item.closed':
      return `${from} closed the item as ${code('outcome')}`
    default:
      return `${event} by ${from}${to === undefined ? '' : `, to ${to}`}${because}`
  }
}

function describeReceipt(from: string, { kind, status, code }: ToldEntry['facts']): string {
  if (status === undefined) return `${from} answered`
  const what = kind === 'handoff' ? 'the item' : `the message ${kind}`
  if (isFailed(status)) return `${what} was not delivered: ${status}${typeof code === 'string' ? `, ${code}` : ''}`
  return `${from} signed the receipt for ${what}: ${status}`
}
