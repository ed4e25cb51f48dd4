// What of a report and of an item is sealed: everything that could lead to the content.
import type { HostingEvidence } from '#schema/hosting-evidence.ts'
import type { ItemInput, RefuseInput, ReportInput } from '#schema/report.ts'

/** What is sealed of an item, and of a report. */
export type ItemContent = Pick<ItemInput, 'hashes' | 'statedCountry' | 'url'> & {
  /** Of the sender, for an item that was handed over. */
  hostingEvidence?: HostingEvidence
}
/** What the one that refused has to say, besides its reason. */
export type RefusalDetails = Pick<RefuseInput, 'note' | 'evidence'>
export type ReportTexts = Pick<ReportInput, 'reference' | 'referrer' | 'memo' | 'accessCredentials'>
