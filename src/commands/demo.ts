// `crossline demo`: three hotlines in three countries on this machine, one report, the whole journey, told in plain words.
// Promise: every item's end is compared with what must become of it, and a difference is named; nothing stays behind when it stops.
import { randomBytes } from 'node:crypto'
import { CrosslineError } from '#errors.ts'
import type { Item, Report } from '#schema/report.ts'
import type { Status } from '#schema/status.ts'
import { developmentMembers } from './certs-dev.ts'
import { waitFor } from './demo-api.ts'
import { proveCustody } from './demo-bundles.ts'
import { showCustody } from './demo-custody.ts'
import { countOutcomes, countRecords, type Figures, subtractCounts } from './demo-figures.ts'
import { type DemoNetwork, startDemoNetwork } from './demo-network.ts'
import { describeNextSteps } from './demo-next-steps.ts'
import {
  acceptedTitle,
  demoItems,
  describeReport,
  describeZone,
  findDifferences,
  isAtRest,
  refusedTitle,
  submitter,
} from './demo-scenario.ts'
import { type Sides, type Telling, waitForWitnesses } from './demo-witnesses.ts'
import { describeItem } from './demo-words.ts'

export interface DemoOptions {
  /** Folder that keeps everything of the demo; a second run goes on with it. */
  data: string
  /** The nodes stay up after the story, and it is told how to use them. */
  staysUp: boolean
  say: (text: string) => void
  /** Aborted when the demo is to stop at once. */
  signal: AbortSignal
}

export interface Demo {
  figures: Figures
  /** Stops the nodes, the DNS server and the database, and waits for their end. */
  stop(): Promise<void>
}

const deliveryPatienceMs = 30_000

/** Starts the network and plays the story. On any failure everything is stopped again; an abort is `demo_failed` too. */
export async function runDemo(options: DemoOptions): Promise<Demo> {
  const stops: (() => Promise<unknown> | unknown)[] = []
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each()
  }
  try {
    return { figures: await play(options, stops), stop }
  } catch (error) {
    await stop()
    if (options.signal.aborted) throw new CrosslineError('demo_failed', { detail: 'The demo was stopped before its end.' })
    throw error
  }
}

async function play({ data, staysUp, say, signal }: DemoOptions, stops: (() => unknown)[]): Promise<Figures> {
  const startedAt = Date.now()
  const network = await startDemoNetwork({ data, zone: describeZone(), say, signal, stops })
  say(describeStart(network))
  const before = await countRecords(network.hotlines)
  const { report, differences } = await submitReport(network, { say, signal })
  differences.push(...(await goStraight(network, report, { say, signal })))
  differences.push(...(await waitForQuiet(network, signal)))
  const added = subtractCounts(await countRecords(network.hotlines), before)
  const item = itemOf(report, acceptedTitle).id
  const sides = [network.get(submitter), network.get('hotline-gb')] as const
  differences.push(...(await waitForWitnesses(sides, { say, signal })))
  say(await tellCustody(item, sides))
  const proof = await proveCustody(network, { item, sides, telling: { say, signal } })
  differences.push(...proof.differences)
  if (staysUp) say(describeNextSteps(network, { report: report.id, item }))
  const { items } = await readReport(network, report.id)
  const figures: Figures = {
    members: developmentMembers.length,
    nodes: network.hotlines.length,
    items: { total: items.length, byOutcome: countOutcomes(items) },
    ...added,
    bundles: proof.bundles,
    seconds: Math.round((Date.now() - startedAt) / 100) / 10,
    asExpected: differences.length === 0,
    differences,
  }
  say(describeEnd(figures))
  return figures
}

function describeStart({ directory, hotlines }: DemoNetwork): string {
  const nodes = hotlines.map(({ id, url }) => `    ${id}  ${url}`).join('\n')
  const kept = directory.isNew ? 'now published' : 'as before'
  return `Three hotlines are up; they know each other from directory version ${directory.version}, ${kept}:\n${nodes}
The directory also lists hotline-us, which is suspended, and lab, which runs no node.\n`
}

/** Submits the report and waits until nothing more happens by itself; tells what became of each item. */
async function submitReport(network: DemoNetwork, { say, signal }: Telling): Promise<{ report: Report; differences: string[] }> {
  const { api } = network.get(submitter)
  const tag = randomBytes(4).toString('hex')
  const { id } = await api.post<Report>('hotline', '/v1/reports', describeReport(tag))
  say(`A report with ${demoItems.length} items comes in at ${submitter}. What becomes of each:\n`)
  const look = async () => {
    const report = await readReport(network, id)
    return report.items.every((item, place) => isAtRest(item, expectationAt(place))) ? report : undefined
  }
  const report = (await waitFor(look, { patienceMs: deliveryPatienceMs, signal })) ?? (await readReport(network, id))
  const differences = report.items.flatMap((item, place) => tellItem(item, place, say))
  return { report, differences }
}

function tellItem(item: Item, place: number, say: Telling['say']): string[] {
  const title = demoItems[place]?.title ?? 'Not in the scenario'
  say(`${describeItem(item, { place: place + 1, title })}\n`)
  const differences = findDifferences(item, expectationAt(place)).map(
    (difference) => `item ${place + 1} (${title}): ${difference}`,
  )
  for (const difference of differences) say(`!!  Not as expected: ${difference}\n`)
  return differences
}

function expectationAt(place: number) {
  const found = demoItems[place]
  if (!found) throw new CrosslineError('demo_failed', { detail: 'The report holds more items than were submitted.' })
  return found.expected
}

function readReport(network: DemoNetwork, id: string): Promise<Report> {
  return network.get(submitter).api.get<Report>('hotline', `/v1/reports/${id}`)
}

/** The receiver accepts one item, assesses it and has it removed; it refuses another. The sender hears of both. */
async function goStraight(network: DemoNetwork, report: Report, { say, signal }: Telling): Promise<string[]> {
  const { api } = network.get('hotline-gb')
  const accepted = itemOf(report, acceptedTitle)
  const refused = itemOf(report, refusedTitle)
  const analyst = 'analyst-7'
  await api.post('hotline', `/v1/items/${accepted.id}/accept`, { reference: 'GB-2026-0001' })
  await api.post('hotline', `/v1/items/${accepted.id}/assessments`, { classification: 'baseline', analyst })
  await api.post('hotline', `/v1/items/${accepted.id}/actions`, { action: 'removed', analyst })
  say(`hotline-gb accepts “${acceptedTitle}”, finds it illegal everywhere (baseline), and has it removed.`)
  await api.post('hotline', `/v1/items/${refused.id}/refuse`, { reason: 'wrong_country' })
  say(`hotline-gb refuses “${refusedTitle}”: wrong country. It belongs to ${submitter} again and waits for a person.`)
  const look = async () => {
    const { items } = await readReport(network, report.id)
    const states = [accepted, refused].map(({ id }) => items.find((item) => item.id === id)?.state)
    return states.join() === 'closed,refused' ? items : undefined
  }
  const heard = await waitFor(look, { patienceMs: deliveryPatienceMs, signal })
  if (!heard) return [`${submitter} did not hear what hotline-gb decided`]
  const { outcome, ownerReference } = heard.find(({ id }) => id === accepted.id) as Item
  const isFallenBack = heard.find(({ id }) => id === refused.id)?.owner === submitter
  say(`${submitter} has heard of both: closed as ${outcome}, under the receiver’s file number ${ownerReference}; and refused.\n`)
  return [
    ...(outcome === 'removed' ? [] : ['the accepted item did not end as removed']),
    ...(isFallenBack ? [] : ['the refused item did not fall back to its sender']),
  ]
}

function itemOf({ items }: Report, title: string): Item {
  const item = items[demoItems.findIndex((each) => each.title === title)]
  if (!item) throw new CrosslineError('demo_failed', { detail: 'The report lacks an item that was submitted.' })
  return item
}

/** Until no message is on its way, but for those that wait for the laboratory. */
async function waitForQuiet(network: DemoNetwork, signal: AbortSignal): Promise<string[]> {
  const statuses = () => Promise.all(network.hotlines.map(({ api }) => api.get<Status>('operator', '/operations/v1/status')))
  const isQuiet = ({ peers }: Status) => peers.every((peer) => peer.member === 'lab' || peer.waiting + peer.inFlight === 0)
  const look = async () => ((await statuses()).every(isQuiet) ? true : undefined)
  const quiet = await waitFor(look, { patienceMs: deliveryPatienceMs, signal })
  return quiet ? [] : ['some messages between the hotlines are still under way']
}

async function tellCustody(item: string, [sender, receiver]: Sides): Promise<string> {
  const table = await showCustody(item, [sender.api, receiver.api])
  return `Who had “${acceptedTitle}” and when, as the audit logs of both sides tell it.
n counts the entries of the item; prev is the leaf (hash) of the entry before, so none can be taken out unseen.\n\n${table}\n`
}

function describeEnd({ asExpected, differences, items, handoffs, receipts, auditEntries, bundles, seconds }: Figures): string {
  const entries = Object.entries(auditEntries).map(([id, count]) => `${id} ${count}`)
  const numbers = `${items.total} items, ${handoffs} handoffs, ${receipts} receipts; audit entries: ${entries.join(', ')};
  ${bundles.valid} bundles verified offline, ${bundles.refused} altered copy refused; ${seconds} s.`
  if (asExpected) return `All is as expected: ${numbers}`
  return `NOT as expected (${numbers}):\n${differences.map((each) => `  - ${each}`).join('\n')}`
}
