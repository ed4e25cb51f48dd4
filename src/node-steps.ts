// The journey as the HTTP side sees it: each step bound to this node's context.
import { parseStrictJson } from '#domain/strict-json.ts'
import { CrosslineError } from '#errors.ts'
import type { Steps } from '#http/steps-table.ts'
import { acceptReport } from '#steps/accept-report.ts'
import { acceptItem, assessItem, recordAction, refuseItem } from '#steps/act-on-item.ts'
import { admitCall, admitMember, checkBody } from '#steps/admit-call.ts'
import { answerPing, findDirectory, findRoot, recordRefusal, signRefusal, stateCapabilities } from '#steps/answer-peer.ts'
import type { ApiClient, StepContext } from '#steps/context.ts'
import type { DirectoryKeeper } from '#steps/directory-keeper.ts'
import { findEntries } from '#steps/find-entries.ts'
import { findReadiness } from '#steps/find-readiness.ts'
import { findStatus } from '#steps/find-status.ts'
import {
  findNote,
  findTile,
  proveConsistency,
  proveConsistencyAsText,
  proveInclusion,
  proveInclusionAsText,
} from '#steps/prove-entry.ts'
import { findReceipt, receiveBatch } from '#steps/receive-batch.ts'
import { openBundle, requestExport, showExport } from '#steps/request-export.ts'
import { showCustody } from '#steps/show-custody.ts'
import { findItems, getItem, getReport } from '#steps/show-items.ts'
import { findOwnCheckpoint, witnessCheckpoint } from '#steps/witness-checkpoint.ts'
import { findClientRow } from '#storage/client-store.ts'
import { isTransient } from '#storage/database.ts'

/** Each step with its context. A database that can't be reached is `database_unavailable`, which callers hear as `overloaded`. */
export function bindSteps(ctx: StepContext, keeper: DirectoryKeeper): Steps {
  const steps = bindAll(ctx, keeper)
  for (const name of Object.keys(steps) as (keyof Steps)[]) steps[name] = nameOutages(steps[name] as AnyStep) as never
  return steps
}

type AnyStep = (...args: unknown[]) => unknown

function nameOutages(step: AnyStep): AnyStep {
  return (...args) => {
    const result = step(...args)
    return result instanceof Promise ? result.catch(nameOutage) : result
  }
}

function nameOutage(error: unknown): never {
  throw isTransient(error) ? new CrosslineError('database_unavailable', { cause: error }) : error
}

function bindAll(ctx: StepContext, keeper: DirectoryKeeper): Steps {
  return {
    parseJson: parseStrictJson,
    acceptReport: (input, caller) => acceptReport(ctx, input, caller),
    getReport: (id) => getReport(ctx, id),
    getItem: (id) => getItem(ctx, id),
    findItems: (query) => findItems(ctx, query),
    acceptItem: (id, input, caller) => acceptItem(ctx, id, { input, caller }),
    refuseItem: (id, input, caller) => refuseItem(ctx, id, { input, caller }),
    assessItem: (id, input, caller) => assessItem(ctx, id, { input, caller }),
    recordAction: (id, input, caller) => recordAction(ctx, id, { input, caller }),
    findEntries: (query, caller) => findEntries(ctx, query, caller),
    showCustody: (asked, caller) => showCustody(ctx, asked, caller),
    findNote: (shard, caller) => findNote(ctx, shard, caller),
    findTile: (asked, caller) => findTile(ctx, asked, caller),
    proveInclusion: (asked, caller) => proveInclusion(ctx, asked, caller),
    proveInclusionAsText: (asked, caller) => proveInclusionAsText(ctx, asked, caller),
    proveConsistency: (asked, caller) => proveConsistency(ctx, asked, caller),
    proveConsistencyAsText: (asked, caller) => proveConsistencyAsText(ctx, asked, caller),
    requestExport: (input, caller) => requestExport(ctx, input, caller),
    showExport: (id, caller) => showExport(ctx, id, caller),
    openBundle: (asked, caller) => openBundle(ctx, asked, caller),
    findStatus: () => findStatus(ctx, keeper),
    findClient: (fingerprint) => findClient(ctx, fingerprint),
    admitCall: (call) => admitCall(ctx, call),
    admitMember: (call) => admitMember(ctx, call),
    checkBody,
    receiveBatch: (call, body) => receiveBatch(ctx, call, body),
    findReceipt: (call, batchId) => findReceipt(ctx, call, batchId),
    witnessCheckpoint: (call, body) => witnessCheckpoint(ctx, call, body),
    findOwnCheckpoint: () => findOwnCheckpoint(ctx),
    answerPing: (call, input) => answerPing(ctx, call, input),
    stateCapabilities: (member) => stateCapabilities(ctx, member),
    findDirectory: (version) => findDirectory(ctx, version),
    findRoot: (number) => findRoot(ctx, number),
    signError: (refused) => signRefusal(ctx, refused),
    recordRefusal: (refusal) => recordRefusal(ctx, refusal),
    readiness: () => findReadiness(ctx),
  }
}

async function findClient(ctx: StepContext, fingerprint: string): Promise<ApiClient | undefined> {
  const row = await findClientRow(ctx.db, fingerprint)
  return (
    row && {
      fingerprint,
      role: row.role as ApiClient['role'],
      name: row.name,
      countries: row.countries,
      networkWide: row.network_wide,
    }
  )
}
