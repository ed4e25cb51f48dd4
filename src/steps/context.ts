// What every step works with: made once by node.ts, handed to each step, never changed by one.

import type { KeyObject } from 'node:crypto'
import type { CdnList } from '#clients/cdn-ranges.ts'
import type { GeoDatabase } from '#clients/geo-database.ts'
import type { PeerClient } from '#clients/peer-client.ts'
import type { Resolver } from '#clients/resolver.ts'
import type { AuditKey, SigningKey } from '#crypto/keys.ts'
import type { DerivedKeys } from '#crypto/sealed-text.ts'
import type { DirectoryAge } from '#domain/directory-rules.ts'
import type { HeldDirectory } from '#domain/held-directory.ts'
import type { Logger } from '#log.ts'
import type { Database } from '#storage/database.ts'
import type { ErasureJournal } from '#storage/erasure-journal.ts'
import type { LiaisonLimits } from './liaison-limits.ts'
import type { Recent } from './recent.ts'
import type { OwnCheckpoint, Sealing } from './sealing.ts'
import type { ItemContent } from './texts.ts'
import type { Turns } from './turns.ts'
import type { WitnessBoard } from './witness-board.ts'

/** What woke up: the worker that waits for it looks at once instead of at its next poll. */
export type Wake = 'trace' | 'deliver' | 'export'

export interface StepContext {
  /** This node's member id, and its home countries by the directory. */
  self: string
  readonly homeCountries: readonly string[]
  db: Database
  /** Keys derived from the node's master key: sealing at rest, pseudonyms, keyed hashes. */
  keys: DerivedKeys
  /** The key that signs proofs, receipts and errors now; reloaded with its file. */
  signingKey(): SigningKey
  /**
   * The key of our log of a year: signs its checkpoints, and cosigns those of others' logs of that year; reloaded with its file.
   * Its own `year` is another when that year has none, and undefined when one key is for all.
   */
  auditKey(year: number): { key: KeyObject; year?: number | undefined } & Pick<AuditKey, 'kid' | 'publicJwk'>
  /** The last checkpoint of our own log that this process knows to be committed; null before the first. */
  checkpoint(): OwnCheckpoint | null
  /** The operator's witness policy (C2SP tlog-policy); undefined: the majority of the other active members. */
  auditPolicy: string | undefined
  /** What this process knows of its witnesses. */
  witnessBoard: WitnessBoard
  /** k of n witnesses have cosigned our checkpoint of this size: the newest with a quorum, or before the first the newest at all. */
  witnessed(): { k: number; n: number; size: number }
  /** Names under which the witnesses of our policy cosign. */
  witnesses(): readonly string[]
  /** What this process knows of the sealing of the log. */
  sealing: Sealing
  /** Folder outside the database for what the database must not be able to take back. */
  auditFolder: string
  /** base64url SHA-256 of the certificate that this node presents now. */
  certificateFingerprint(): string
  /** The verified directory held in memory now, whatever its age. */
  directory(): HeldDirectory
  /** fresh; stale: alarm, traffic goes on; expired: nothing is exchanged. */
  directoryAge(): DirectoryAge
  resolver: Resolver
  geo: GeoDatabase
  cdn: CdnList
  peers: PeerClient
  /** Shortcuts to what was just at hand: items' keys and contents, own lines. */
  recent: { keys: Recent<Buffer>; contents: Recent<ItemContent>; lines: Recent<Buffer> }
  /** What one peer asks of the database comes one after the other: its proofs, its batches, its checkpoints. */
  turns: { proofs: Turns; batches: Turns; checkpoints: Turns }
  /** What was erased and held, as it stands outside the database. */
  erasures: ErasureJournal
  /** `retentionDays`: how long texts are kept after an item is closed. */
  policy: { cdnToHome: boolean; retentionDays: number }
  /** How much one liaison may ask. */
  liaison: LiaisonLimits
  /** Where finished exports of the log lie, and how many entries one may have. */
  exports: { folder: string; maxRows: number }
  now(): Date
  log: Logger
  wake(what: Wake): void
  /** A peer holds another directory than we do: newer, or the same version with another hash. */
  directoryHint(hint: DirectoryHint): void
}

export interface DirectoryHint {
  member: string
  version: number
  isConflict: boolean
  trace: string
}

/** A registered client certificate and what it may do. */
export interface ApiClient {
  fingerprint: string
  role: 'hotline' | 'liaison' | 'operator'
  name: string
  countries: string[]
  networkWide: boolean
}

/** Who calls a hotline step, and how the call is told apart from its repetition. */
export interface Caller {
  client: ApiClient
  idempotencyKey?: string
  /** 32 lower-case hex digits. */
  trace: string
}

/** A federation call that passed every check up to its body. */
export interface AdmittedCall {
  member: string
  proof: string
  proofDigest: string
  bodyDigest: string
  root: string | undefined
  size: number | undefined
  trace: string
  /** `<version>:<hash>` of our directory, when the caller holds an older one: the answer names it. */
  newerDirectory?: string
}
