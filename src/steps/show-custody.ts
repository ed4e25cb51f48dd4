// The custody of one item for a liaison: who had it, when, and what they did. What is out of scope is answered, and recorded, as what never was.
import { describeCustody } from '#domain/custody-words.ts'
import { CrosslineError } from '#errors.ts'
import type { Custody, CustodyQuery, Entry, EntryView } from '#schema/audit.ts'
import { countEntriesOfRef, type FoundEntry, findAuditEntries } from '#storage/liaison-store.ts'
import { subjectRef } from './append-audit.ts'
import type { Caller, StepContext } from './context.ts'
import { admitQuestion, answerQuestion } from './record-query.ts'
import { findSealedEnd, makeViews, type SealedEnd } from './show-entry.ts'

/** More entries than any item gets: 8 hops, each assessed, acted on and disputed many times over. */
const maxLines = 10_000

/** Throws `not_found` for an item that is not in the log or not in scope, and as `admitQuestion` does. */
export async function showCustody(
  ctx: StepContext,
  { ref: named, query }: { ref: string; query: CustodyQuery },
  caller: Caller,
): Promise<Custody> {
  const question = { ...query, item: named }
  await admitQuestion(ctx, question, caller)
  const ref = named.length === 43 ? Buffer.from(named, 'base64url') : subjectRef(ctx, named)
  const end = await findSealedEnd(ctx)
  // Counted before anybody knows whether it is in scope: both answers take the same steps.
  const total = end ? await countEntriesOfRef(ctx.db, ref, end.place) : 0
  const found = await answerQuestion(ctx, { question, caller }, (trx, scope) =>
    end ? findAuditEntries(trx, scope, { refs: [ref], before: end.place, limit: maxLines }) : Promise.resolve([]),
  )
  if (!end || found.length === 0) throw new CrosslineError('not_found')
  const show = await makeViews(ctx, { found, end, caller })
  return tell(found.map(show), { ref, total, end, found })
}

function tell(
  views: readonly EntryView[],
  { ref, total, end, found }: { ref: Buffer; total: number; end: SealedEnd; found: readonly FoundEntry[] },
): Custody {
  const read = views.map((view) => ({ view, entry: JSON.parse(view.entry) as Entry, facts: factsOf(view) }))
  const words = describeCustody(read.map(({ entry: { event, from, to }, facts }) => ({ event, from, to, facts })))
  const lines = read.map(({ view, entry, facts }, place) => ({
    ...view,
    n: entry.n,
    event: entry.event,
    at: entry.at,
    from: entry.from ?? null,
    to: entry.to ?? null,
    holder: words[place]?.holder ?? null,
    text: words[place]?.text ?? '',
    facts,
  }))
  const entries = read.map(({ entry }) => entry)
  return {
    ref: ref.toString('base64url'),
    holder: lines.at(-1)?.holder ?? null,
    entries: total,
    complete: found.length === total && isChain(entries, found),
    lines,
    checkpoint: end.checkpoint,
  }
}

function factsOf({ disclosed }: EntryView): Record<string, unknown> {
  const facts = disclosed['facts']?.value
  return typeof facts === 'object' && facts !== null ? { ...facts } : {}
}

/** 1, 2, 3 …, each naming the leaf of the one before. */
function isChain(entries: readonly Entry[], found: readonly FoundEntry[]): boolean {
  return entries.every(({ n, prev }, place) => n === place + 1 && prev === found[place - 1]?.leaf.toString('base64url'))
}
