// Whether the logs of this year and, from December on, of the next have keys of their own that the directory lists: the office needs days
// to publish one. What lacks is told and holds nothing up.
import type { MemberKey } from '#schema/directory.ts'

export interface KeyGap {
  year: number
  /** key: the log of that year would be signed with another year's. listing: nobody else knows its key, so nobody cosigns. */
  lacks: 'key' | 'listing'
  isNext: boolean
}

/** What is known of the key that signs the log of a year; its own `year` is undefined when one key is for all. */
export type KeyOfYear = (year: number) => { kid: string; year?: number | undefined }

const december = 11

/** The years that are looked at now. */
export function yearsAhead(now: Date): number[] {
  const year = now.getUTCFullYear()
  return now.getUTCMonth() === december ? [year, year + 1] : [year]
}

export function findKeyGaps(keyOf: KeyOfYear, { listed, now }: { listed: readonly MemberKey[]; now: Date }): KeyGap[] {
  const today = now.getUTCFullYear()
  return yearsAhead(now).flatMap((year): KeyGap[] => {
    const key = keyOf(year)
    const isNext = year > today
    const found = listed.find(({ kid, use }) => use === 'audit' && kid === key.kid)
    const named = [key.year, found?.use === 'audit' ? found.year : undefined].filter((each) => each !== undefined)
    // One file for all years does for this year, but not for the next as well.
    const hasOwn = named.every((each) => each === year) && !(isNext && key.kid === keyOf(today).kid)
    if (!hasOwn) return [{ year, lacks: 'key', isNext }]
    return found?.state === 'current' || found?.state === 'next' ? [] : [{ year, lacks: 'listing', isNext }]
  })
}
