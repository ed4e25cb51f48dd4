// What this process knows of its witnesses: how far each has followed our log, and the last checkpoint that enough of them cosigned.
// In memory only: after a start it is read from the cosignatures in the database.

export interface Witnessed {
  /** Members that have cosigned, of those that the policy counts. */
  k: number
  n: number
  quorum: boolean
}

/** One peer as our witness. */
export interface PeerWitness {
  year: number
  /** Of the last checkpoint that it cosigned; 0 before the first. */
  size: number
  cosignedAt: Date | null
  failures: number
  /** Node's clock; undefined: nothing to wait for. */
  retryAt: Date | undefined
  lastError: string | null
}

/** A checkpoint and its witnesses. */
export interface WitnessedCheckpoint extends Witnessed {
  year: number
  size: number
  at: Date
}

export interface WitnessBoard {
  peers: Map<string, PeerWitness>
  peer(member: string): PeerWitness
  /** The newest checkpoint with a quorum. */
  readonly quorum: WitnessedCheckpoint | undefined
  /** k of n witnesses have cosigned the checkpoint of this size: the newest with a quorum, or before the first the newest at all. */
  witnessed(): { k: number; n: number; size: number }
  /** Takes in what is known of a checkpoint now. */
  learn(checkpoint: WitnessedCheckpoint): void
}

export function createWitnessBoard(): WitnessBoard {
  const peers = new Map<string, PeerWitness>()
  let quorum: WitnessedCheckpoint | undefined
  let newest: WitnessedCheckpoint | undefined
  return {
    peers,
    peer: (member) => {
      const known = peers.get(member)
      if (known) return known
      const fresh: PeerWitness = { year: 0, size: 0, cosignedAt: null, failures: 0, retryAt: undefined, lastError: null }
      peers.set(member, fresh)
      return fresh
    },
    get quorum() {
      return quorum
    },
    witnessed: () => {
      const { k, n, size } = quorum ?? newest ?? { k: 0, n: 0, size: 0 }
      return { k, n, size }
    },
    learn: (checkpoint) => {
      if (!isOlder(checkpoint, newest)) newest = checkpoint
      if (!checkpoint.quorum || isOlder(checkpoint, quorum)) return
      // When it got its quorum, not when the last of its witnesses came.
      const isKnown = quorum?.year === checkpoint.year && quorum.size === checkpoint.size
      quorum = { ...checkpoint, at: isKnown && quorum ? quorum.at : checkpoint.at }
    },
  }
}

function isOlder(one: WitnessedCheckpoint, other: WitnessedCheckpoint | undefined): boolean {
  return other !== undefined && (one.year < other.year || (one.year === other.year && one.size < other.size))
}
