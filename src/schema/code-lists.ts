// The code lists of the field: stable strings, with ICCAM's numbers as aliases so that its users can migrate (domain.md, "Code lists").
// A code is never removed and never changes its meaning; a new one raises the list's version.
import { Type } from 'typebox'

/** Version of all code lists together; travels in `schema.version` of every message. */
export const codeListVersion = 1

const iccamNumbers = {
  classification: { baseline: 1, national: 2, ignore: 4 },
  siteType: {
    website: 2,
    file_host: 3,
    image_store: 4,
    image_board: 5,
    forum: 6,
    banner_site: 7,
    link_site: 8,
    social_networking: 9,
    redirector: 10,
    web_archive: 11,
    search_provider: 18,
    image_host: 20,
    blog: 22,
    not_applicable: 24,
  },
  commerciality: { not_determined: 1, commercial: 2, non_commercial: 3 },
  paymentMethod: {
    not_determined: 1,
    amex: 2,
    diners: 3,
    mastercard: 4,
    paypal: 5,
    visa: 6,
    western_union: 7,
    other: 8,
    none: 9,
    sms: 10,
    email: 11,
    liberty_reserve: 12,
    bitcoin: 13,
  },
  gender: { not_determined: 1, female: 2, male: 3, both: 4 },
  ageGroup: { not_determined: 1, infant: 2, pre_pubescent: 3, pubescent: 4 },
  action: { lea_notified: 1, provider_notified: 2, removed: 3, unavailable: 4, not_illegal: 6 },
  reason: {
    other: 1,
    content_not_found: 2,
    referrer_unknown: 3,
    unable_to_access: 4,
    password_protected: 5,
    account_disabled: 6,
    legally_unable: 7,
    link_expired: 8,
    error_404: 9,
    error_503: 10,
    premium_account: 11,
    missing_parts: 12,
    removed_before_assessment: 13,
    adult: 14,
    nudism: 15,
    below_threshold: 16,
    images_too_small: 17,
    virtual_material: 18,
    linking_not_illegal: 19,
    age_unclear: 20,
    age_over_national_threshold: 21,
  },
} as const

function codes<T extends Record<string, number>>(list: T, description: string) {
  const names = Object.keys(list) as (keyof T & string)[]
  const aliases = names.map((name) => `${name} ${list[name]}`).join(', ')
  return Type.Enum(names, { description: `${description} Code list version ${codeListVersion}; ICCAM's numbers: ${aliases}.` })
}

export const Classification = codes(
  iccamNumbers.classification,
  'What the content is: baseline (illegal everywhere, locked), national (illegal in the hosting country), ignore (not illegal).',
)
export const SiteType = codes(iccamNumbers.siteType, 'Kind of site that the content was found on.')
export const Commerciality = codes(iccamNumbers.commerciality, 'Whether the site asks for money.')
export const PaymentMethod = codes(iccamNumbers.paymentMethod, 'A way of payment that the site offers.')
export const Gender = codes(iccamNumbers.gender, 'Gender of the children shown.')
export const AgeGroup = codes(iccamNumbers.ageGroup, 'Age group of the youngest child shown.')
export const ActionCode = codes(iccamNumbers.action, 'What was done. removed, unavailable and not_illegal are final.')
export const Reason = codes(iccamNumbers.reason, 'Why an action was taken; needed by unavailable and not_illegal.')

export const Flag = Type.Enum(['virtual', 'child_modelling', 'self_generated', 'ai_generated'], {
  description: 'A property of the material. Code list version 1 (ai_generated is ours).',
})
export const Refusal = Type.Enum(['wrong_country', 'out_of_remit', 'legally_unable', 'duplicate', 'not_understood'], {
  description: 'Why a hotline refuses an item. Crossline code list version 1.',
})
export const Handling = Type.Enum(['hotline_only', 'lea', 'interpol', 'no_forward'], {
  description:
    'Who may see the content of the report: hotlines only, law enforcement too, INTERPOL too, or nobody beyond the first receiver. Crossline code list version 1.',
})
export const ReportSource = Type.Enum(['public_form', 'analyst', 'partner', 'crawl'], {
  description: 'Where the report came from. Crossline code list version 1.',
})
export const ContentType = Type.Enum(['media', 'website'], {
  description: 'Whether the URL is a media file or a page. Crossline code list version 1.',
})
export const ItemState = Type.Enum(
  [
    'received',
    'traced',
    'routed',
    'sent',
    'delivered',
    'accepted',
    'assessed',
    'closed',
    'needs_review',
    'orphaned',
    'untraceable',
    'refused',
    'on_hold',
    'reopened',
  ],
  { description: 'Where the item stands in its life cycle (domain.md).' },
)
export const Outcome = Type.Enum(['removed', 'unavailable', 'not_illegal', 'duplicate', 'withdrawn', 'expired'], {
  description: 'How a closed item ended.',
})
