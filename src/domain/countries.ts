// Which two letters are a country: ISO 3166-1 as Node's own tables have it, and Kosovo under the code that everybody uses for it.

const names = new Intl.DisplayNames('en', { type: 'region', fallback: 'none' })

// Codes that the tables name and ISO 3166-1 only reserves: parts of countries, unions, and places that do not exist.
const reserved = new Set(['AC', 'CP', 'CQ', 'DG', 'EA', 'EU', 'EZ', 'IC', 'QO', 'TA', 'UN', 'XA', 'XB', 'ZZ'])

/** Whether a code is one of ISO 3166-1 alpha-2 in force, or XK. Withdrawn codes (SU) and aliases (UK) are not. */
export function isCountry(code: string): boolean {
  if (!/^[A-Z]{2}$/.test(code) || reserved.has(code)) return false
  return names.of(code) !== undefined && Intl.getCanonicalLocales(`und-${code}`)[0] === `und-${code}`
}
