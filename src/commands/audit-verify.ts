// `crossline audit verify`: a bundle against a policy, offline. The text goes to stdout, progress to stderr.
import { CrosslineError } from '#errors.ts'
import { type VerifiedFile, verifyFile } from './verify-file.ts'

export interface AuditVerifyOptions {
  policy?: string
  since?: string
  json: boolean
}

/** Throws `invalid_config` without a policy: nobody's word stands in for it, the bundle's own least of all. */
export function auditVerify(
  bundle: string,
  { policy, since, json }: AuditVerifyOptions,
  note: (line: string) => void,
): VerifiedFile {
  if (policy === undefined)
    throw new CrosslineError('invalid_config', {
      detail: '--policy is needed: the file that names the log’s keys, the witnesses and the quorum.',
    })
  return verifyFile(bundle, { policy, since, json, note })
}
