// What no text may carry, whatever its field: media. Crossline moves words about content, never the content.
import { CrosslineError } from '#errors.ts'

const dataUrl = /data:[a-z]+\/[a-z0-9.+-]+\s*[;,]/i
// A run this long of base64's alphabet without a blank is no language; it is a file.
const base64Run = /[A-Za-z0-9+/_-]{512,}={0,2}/

/** Throws `schema_invalid` naming the field if a text holds a `data:` URL or a base64 blob. */
export function refuseMedia(text: string, pointer: string): void {
  if (dataUrl.test(text))
    throw new CrosslineError('schema_invalid', { pointer, detail: 'Media never travel: a data: URL is refused.' })
  if (base64Run.test(text))
    throw new CrosslineError('schema_invalid', { pointer, detail: 'Media never travel: a long run of base64 is refused.' })
}

/** Most bytes of a text as JSON in UTF-8, so that a handoff with it always fits into one message line. */
const maxMemoBytes = 32_768

/** Throws `too_large` naming the field if a text would not fit into a message. */
export function refuseTooLong(text: string, pointer: string): void {
  if (Buffer.byteLength(JSON.stringify(text)) > maxMemoBytes)
    throw new CrosslineError('too_large', { pointer, detail: 'The text is longer than 32 KiB as JSON in UTF-8.' })
}
