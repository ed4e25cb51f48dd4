// Peers as our witnesses: sends our newest checkpoint with its consistency proof to each, and keeps the cosignatures that verify.
// A peer that can show more than we hold, or another tree, under our own signature, halts the sealing: the log was taken back or forked.
// Promise: a cosignature that is kept says that at its moment the log ended there, give or take a minute of entries not sealed yet.
import { randomBytes } from 'node:crypto'
import { verifySignature } from '#crypto/checkpoint-note.ts'
import { formatAddCheckpoint } from '#domain/add-checkpoint.ts'
import { parseDecimal } from '#domain/exact-text.ts'
import { type WitnessMember, witnessKeys, witnessName } from '#domain/network-policy.ts'
import { type NoteSignature, parseNote } from '#domain/signed-note.ts'
import { describeQuorum } from '#domain/tlog-policy.ts'
import { CrosslineError } from '#errors.ts'
import { findLacked } from '#storage/seal-store.ts'
import { findLatestCheckpoint, type StoredCheckpoint } from '#storage/tree-store.ts'
import {
  findCosignatures,
  findCosignedSizes,
  findLastCosignatures,
  hasCosigned,
  insertCosignature,
} from '#storage/witness-store.ts'
import { countWitnesses, findAuditPolicy, findWitnesses } from './audit-policy.ts'
import { callPeer } from './call-peer.ts'
import type { StepContext } from './context.ts'
import { noteSecurityEvent } from './note-security-event.ts'
import { proveGrowth } from './prove-growth.ts'
import { patienceMs } from './sealing.ts'
import { weighClaim } from './weigh-claim.ts'
import type { PeerWitness } from './witness-board.ts'

const path = '/federation/v1/witness'
const retryMs = { least: 5000, most: 60_000 }
/** A cosignature that states another time than this says nothing about when. */
const maxSkewMs = 60_000
/** The first try, one with the size that the peer named, one that asks for what it holds. */
const maxTries = 4

/** Who is asked for a cosignature now: a peer that failed waits a little, and all of them while entries wait too long to be sealed. */
export async function findDueWitnesses(ctx: StepContext): Promise<WitnessMember[]> {
  const own = await findLatestCheckpoint(ctx.db)
  if (!own || (await lacksOldEntry(ctx, own, ctx.now()))) return []
  const now = ctx.now().getTime()
  return findWitnesses(ctx).filter(({ id }) => {
    const { retryAt } = ctx.witnessBoard.peer(id)
    // A wait further ahead than the longest one was set by another time.
    return retryAt === undefined || retryAt.getTime() <= now || retryAt.getTime() > now + retryMs.most
  })
}

/**
 * Asks one peer to cosign our newest checkpoint; true if it did, or had a newer one of ours. What the peer or the network does wrong is told,
 * counted and tried again, never thrown.
 */
export async function gatherFrom(ctx: StepContext, witness: WitnessMember): Promise<boolean> {
  const state = ctx.witnessBoard.peer(witness.id)
  const trace = randomBytes(16).toString('hex')
  for (const own of await findUnwitnessed(ctx, witness)) {
    if (ctx.sealing.halt) return false
    const outcome = await askUntilKnown(ctx, { witness, own, state, trace })
    if (outcome.kind === 'failed') putOff(ctx, { witness, state, trace, failure: outcome })
    // Not a failure: told by the status, and by nothing else.
    if (outcome.kind === 'later')
      Object.assign(state, { lastError: outcome.code, retryAt: new Date(ctx.now().getTime() + outcome.waitMs) })
    if (outcome.kind !== 'done') return false
  }
  Object.assign(state, { failures: 0, retryAt: undefined, lastError: null })
  return true
}

/**
 * Whether this checkpoint lacks an entry that is so old that a cosignature of that time would say the log had ended before it: whoever
 * verifies would take the entry for one that was dated back. What the entry itself says counts too: a clock may have been set in between.
 */
async function lacksOldEntry({ db, sealing }: StepContext, checkpoint: StoredCheckpoint, time: Date): Promise<boolean> {
  const { ageMs, at } = await findLacked(db, checkpoint)
  return Math.max(sealing.oldestMs(), ageMs) > patienceMs || (at !== null && time.getTime() - at.getTime() > patienceMs)
}

/** The newest checkpoint, and before it the last one of the year before for as long as this witness lacks it. */
async function findUnwitnessed({ db }: StepContext, witness: WitnessMember): Promise<StoredCheckpoint[]> {
  const own = await findLatestCheckpoint(db)
  const before = own && (await findLatestCheckpoint(db, own.year - 1))
  const isWitnessed = before && (await hasCosigned(db, { ...before, witness: witnessName(witness.id) }))
  return [...(before && !isWitnessed ? [before] : []), ...(own ? [own] : [])]
}

interface Asking {
  witness: WitnessMember
  own: StoredCheckpoint
  state: PeerWitness
  trace: string
}

type Outcome =
  | { kind: 'done' }
  | { kind: 'halted' }
  /** The peer wants to be asked again in a moment, and nothing else is the matter. */
  | { kind: 'later'; code: string; waitMs: number }
  /** `isBroken`: the peer broke its promise, which is more than not being there. */
  | { kind: 'failed'; code: string; isBroken: boolean }

const failed = (code: string, isBroken: boolean): Outcome => ({ kind: 'failed', code, isBroken })

async function askUntilKnown(ctx: StepContext, asking: Asking): Promise<Outcome> {
  const { own, state } = asking
  let old = state.year === own.year && state.size <= own.size ? state.size : 0
  for (let tries = 0; tries < maxTries; tries++) {
    const answer = await submit(ctx, asking, old)
    if (answer.kind === 'unreachable') return failed(answer.reason, false)
    if (answer.kind === 'refused') {
      const outcome = readRefusal(answer, old)
      if (outcome) return outcome
      old = 0
    } else if (answer.status === 200) return takeCosignature(ctx, asking, answer.body)
    else {
      const size = sizeOf(answer.body)
      if (size === undefined) return failed('bad_answer', true)
      const claim = await weighClaim(ctx, { member: asking.witness.id, own, size, shown: answer.headers['crossline-checkpoint'] })
      if (claim === 'halted') {
        // The witness has seen nothing wrong yet where we hold more than it: it gets to see, and to keep, what we can't prove.
        if (size < own.size) await submit(ctx, asking, size)
        return { kind: 'halted' }
      }
      if (claim === 'unproven') return failed('unproven_claim', true)
      // Another process of ours was quicker: the next round takes its checkpoint.
      if (claim === 'overtaken') return { kind: 'done' }
      // It is the size that we named.
      if (size === old) return failed('bad_answer', true)
      old = size
    }
  }
  return failed('bad_answer', true)
}

/** What a refusal comes to; undefined: the peer is to be asked from no size at all. */
function readRefusal(
  { code, retryAfterS = 1 }: { code: string; retryAfterS: number | undefined },
  old: number,
): Outcome | undefined {
  if (code === 'rate_limited') return { kind: 'later', code, waitMs: Math.min(retryAfterS * 1000, retryMs.most) }
  if (code !== 'broken_proof') return failed(code, false)
  // It says that our log did not grow from what it holds. From no size at all, it must name that and show it.
  return old === 0 ? failed('broken_proof', true) : undefined
}

async function submit(ctx: StepContext, { witness, own, trace }: Asking, old: number) {
  const body = formatAddCheckpoint({ old, path: await proveGrowth(ctx.db, own, old), note: own.note })
  return callPeer(ctx, {
    member: witness.id,
    method: 'POST',
    path,
    body: Buffer.from(body),
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    trace,
    timeoutMs: 10_000,
    alsoAnswers: [409],
  })
}

/** `text/x.tlog.size`: a decimal number and a newline. */
function sizeOf(body: Buffer): number | undefined {
  const text = body.length <= 17 ? body.toString('latin1') : ''
  return text.endsWith('\n') ? parseDecimal(text.slice(0, -1)) : undefined
}

/**
 * Keeps the peer's line if it verifies under a key that the directory lists for it, at a time that can be, and nothing old waits; other
 * lines are nobody's.
 */
async function takeCosignature(ctx: StepContext, { witness, own, state }: Asking, body: Buffer): Promise<Outcome> {
  const found = findCosignature(own, witness, body)
  if (!found) return failed('bad_cosignature', true)
  const { line, at } = found
  if (Math.abs(at.getTime() - ctx.now().getTime()) > maxSkewMs) return failed('clock_skew', true)
  // It answered, which is all that a start waits for; it is asked again when what waits is sealed.
  if (await lacksOldEntry(ctx, own, at)) return { kind: 'done' }
  const { year, size } = own
  await insertCosignature(ctx.db, { year, size, witness: witnessName(witness.id), line, cosignedAt: at })
  if (year >= state.year) Object.assign(state, { year, size, cosignedAt: ctx.now() })
  await learnWitnesses(ctx, own, ctx.now())
  return { kind: 'done' }
}

function findCosignature(own: StoredCheckpoint, witness: WitnessMember, body: Buffer): { line: string; at: Date } | undefined {
  try {
    const note = parseNote(`${parseNote(own.note).text}\n${body.toString()}`)
    for (const key of witnessKeys(witness)) {
      const at = verifySignature(note, key)
      const isOf = ({ name, keyId }: NoteSignature) => name === key.name && keyId.equals(key.keyId)
      if (at instanceof Date) return { line: note.signatures.find(isOf)?.line ?? '', at }
    }
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error
  }
  return undefined
}

interface Failing extends Omit<Asking, 'own'> {
  failure: { code: string; isBroken: boolean }
}

function putOff(ctx: StepContext, { witness, state, trace, failure: { code, isBroken } }: Failing): void {
  const failures = state.failures + 1
  const delayMs = Math.min(retryMs.most, retryMs.least * 2 ** Math.min(failures - 1, 10))
  Object.assign(state, { failures, lastError: code, retryAt: new Date(ctx.now().getTime() + delayMs) })
  if (isBroken) noteSecurityEvent(ctx, { member: witness.id, code: `witness_${code}`, trace })
  if (isBroken || failures === 1)
    ctx.log.warn({ step: 'gather-cosignatures', trace, peer: witness.id, code, failures }, 'a peer did not cosign')
}

/** Counts who has cosigned a checkpoint by now. */
async function learnWitnesses(ctx: StepContext, { year, size }: StoredCheckpoint, at: Date): Promise<void> {
  const lines = await findCosignatures(ctx.db, year, size)
  const counted = countWitnesses(
    findAuditPolicy(ctx, year).policy,
    lines.map(({ line }) => line),
  )
  ctx.witnessBoard.learn({ ...counted, year, size, at })
}

/** Sizes looked at for the last quorum after a start. */
const maxRecalled = 20

/** What the database knows of our witnesses, for a process that has just started. */
export async function recallWitnesses(ctx: StepContext): Promise<void> {
  const own = await findLatestCheckpoint(ctx.db)
  if (!own) return
  for (const { witness, year, size, cosignedAt } of await findLastCosignatures(ctx.db)) {
    const member = findWitnesses(ctx).find(({ id }) => witnessName(id) === witness)
    if (member) Object.assign(ctx.witnessBoard.peer(member.id), { year, size, cosignedAt })
  }
  const { policy } = findAuditPolicy(ctx, own.year)
  const { needed } = describeQuorum(policy)
  const newest = await findCosignedSizes(ctx.db, { year: own.year, witnesses: 1, limit: 1 })
  const enough = await findCosignedSizes(ctx.db, { year: own.year, witnesses: needed, limit: maxRecalled })
  for (const size of new Set([...newest, ...enough])) {
    const lines = await findCosignatures(ctx.db, own.year, size)
    const counted = countWitnesses(
      policy,
      lines.map(({ line }) => line),
    )
    const at = lines.map(({ cosignedAt }) => cosignedAt).sort((a, b) => b.getTime() - a.getTime())[0]
    ctx.witnessBoard.learn({ ...counted, year: own.year, size, at: at ?? own.signedAt })
    if (counted.quorum) return
  }
}
