// Writes the tar of an audit bundle, member by member, as it goes: memory holds one member at a time. The last member is the manifest that
// names all others with their digests; without it a bundle is known to be cut off.
import { createHash, hash } from 'node:crypto'
import { type Pack, pack } from 'tar-stream'
import { toJcs } from '#domain/audit-entry.ts'

/** Where the bytes go. */
export interface Sink {
  write(bytes: Uint8Array): Promise<void>
}

export interface BundleWriter {
  /** Bytes written so far. */
  readonly bytes: number
  add(name: string, body: Buffer | string): Promise<void>
  /** A member that is too large to hold: its parts come twice, first to be counted. They must be the same both times. */
  addParts(name: string, parts: () => AsyncIterable<Buffer>): Promise<void>
  /** Writes the manifest with the list of members; gives size and SHA-256 of the whole. */
  finish(manifest: Record<string, unknown>): Promise<{ bytes: number; digest: Buffer }>
  /** Lets go of it after a failure. */
  abandon(): void
}

/** `at` is the time that every member bears. What the sink throws, the next call throws. */
export function createBundleWriter(sink: Sink, at: Date): BundleWriter {
  const tar = pack()
  const members: { name: string; bytes: number; sha256: string }[] = []
  const digest = createHash('sha256')
  let bytes = 0
  let fault: unknown

  async function drain(): Promise<void> {
    for await (const block of tar as AsyncIterable<Buffer>) {
      await sink.write(block).catch((error: unknown) => {
        fault = error
        throw error
      })
      digest.update(block)
      bytes += block.length
    }
  }
  const drained = drain()
  drained.catch(() => undefined)

  async function addParts(name: string, size: number, parts: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<void> {
    const sha256 = createHash('sha256')
    try {
      await writeEntry(tar, { name, size, mtime: at, mode: 0o600 }, hashed(parts, sha256))
    } catch (error) {
      // What the sink said is why; that the stream is broken is only how it shows here.
      tar.destroy(new Error('given up'))
      await drained.catch(() => undefined)
      throw fault ?? error
    }
    members.push({ name, bytes: size, sha256: sha256.digest('base64url') })
  }

  async function add(name: string, body: Buffer | string): Promise<void> {
    const whole = typeof body === 'string' ? Buffer.from(body) : body
    await addParts(name, whole.length, [whole])
  }

  return {
    get bytes() {
      return bytes
    },
    add,
    addParts: async (name, parts) => {
      let size = 0
      for await (const part of parts()) size += part.length
      await addParts(name, size, parts())
    },
    finish: async (manifest) => {
      const whole = { ...manifest, members: [...members] }
      // Over the manifest without it: a bit that flips in the list itself shows too.
      await add('manifest.json', `${toJcs({ ...whole, digest: hash('sha256', toJcs(whole), 'base64url') })}\n`)
      tar.finalize()
      await drained
      return { bytes, digest: digest.digest() }
    },
    abandon: () => tar.destroy(new Error('given up')),
  }
}

async function* hashed(parts: AsyncIterable<Buffer> | Iterable<Buffer>, sha256: { update(bytes: Buffer): unknown }) {
  for await (const part of parts) {
    sha256.update(part)
    yield part
  }
}

type Header = { name: string; size: number; mtime: Date; mode: number }

// Each part waits until there is room for it.
async function writeEntry(tar: Pack, header: Header, parts: AsyncIterable<Buffer>): Promise<void> {
  const { promise: written, resolve, reject } = Promise.withResolvers<void>()
  const entry = tar.entry(header, (error) => (error ? reject(error) : resolve()))
  written.catch(() => undefined)
  for await (const part of parts) {
    if (!entry.write(part)) await Promise.race([new Promise<void>((go) => void entry.once('drain', go)), written])
  }
  entry.end(null)
  await written
}
