// Numbers and bytes as C2SP's texts write them: each value has one spelling, and nothing else is read as that value.

const decimal = /^(?:0|[1-9][0-9]{0,15})$/

/** 0 to 2^53 − 1 in decimal without leading zeros; nothing for any other text. */
export function parseDecimal(text: string): number | undefined {
  if (!decimal.test(text)) return undefined
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : undefined
}

/** The bytes of canonical base64 (RFC 4648 §4, padded, unused bits zero); nothing for any other text. */
export function parseBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  // Node's decoder skips what it doesn't know: only a text that comes back unchanged was base64.
  return bytes.toString('base64') === text ? bytes : undefined
}

/** A hash of 32 bytes in canonical base64; nothing for any other text. */
export function parseHash(text: string): Buffer | undefined {
  const bytes = parseBase64(text)
  return bytes?.length === 32 ? bytes : undefined
}
