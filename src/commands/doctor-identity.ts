// The doctor's look at certificates and keys: how long they last, whether they fit together, and whether the directory knows them.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { Config } from '#config.ts'
import { daysLeft, memberOfCertificate } from '#crypto/certificates.ts'
import type { HeldDirectory } from '#domain/held-directory.ts'
import type { Identity } from '#node-identity.ts'
import { days, type Finding, failed, ok, warning } from './doctor-findings.ts'

const check = 'certificates'
const warnBelowDays = 30

/** The files by themselves. */
export function examineIdentity({ member }: Config, { tls }: Identity, now: Date): Finding[] {
  const certificate = new X509Certificate(tls.cert as string)
  const authorities = splitPem(tls.ca as string).map((pem) => new X509Certificate(pem))
  const findings = [
    judgeLife('This node’s certificate', daysLeft(certificate, now), certificate.validFromDate > now),
    ...authorities.map((authority) =>
      judgeLife('The authority’s certificate', daysLeft(authority, now), authority.validFromDate > now),
    ),
  ]
  if (!certificate.checkPrivateKey(createPrivateKey(tls.key as string))) {
    findings.push(failed(check, 'TLS_KEY is not the key of TLS_CERT.', 'Set both to files that were made together.'))
  }
  if (!authorities.some((authority) => certificate.verify(authority.publicKey))) {
    findings.push(
      failed(
        check,
        'No authority of TLS_CA issued this node’s certificate.',
        'Peers will refuse it: set TLS_CA and TLS_CERT of the same network.',
      ),
    )
  }
  if (memberOfCertificate(certificate) !== member) {
    findings.push(
      failed(
        check,
        'This node’s certificate names another member than MEMBER_ID.',
        'Set TLS_CERT to the certificate that was issued to this member.',
      ),
    )
  }
  return findings
}

function judgeLife(what: string, left: number, isEarly: boolean): Finding {
  if (isEarly) return failed(check, `${what} is not valid yet.`, 'Look at the clock of this machine.')
  if (left < 0)
    return failed(
      check,
      `${what} has expired ${days(-left)} ago.`,
      'Have a new one issued and publish its fingerprint in the directory; the node takes the new file without a restart.',
    )
  if (left < warnBelowDays)
    return warning(
      check,
      `${what} ends in ${days(left)}.`,
      'Have the next one issued now: it must stand in the directory before it is used.',
    )
  return ok(check, `${what} is good for ${days(left)}.`)
}

/** The files against the directory: what peers will think of them. */
export function examineMembership(
  self: string,
  identity: Identity,
  { directory, now }: { directory: HeldDirectory; now: Date },
): Finding[] {
  const member = directory.findMember(self)
  const advice = 'Ask the network office: peers go by what the directory says.'
  if (!member) return [failed('membership', 'The directory does not list this member.', advice)]
  const findings: Finding[] = []
  if (member.status !== 'full') findings.push(warning('membership', `This member is listed as ${member.status}.`, advice))
  const listed = member.certificates.find(({ fingerprint }) => fingerprint === identity.fingerprint)
  if (!listed || !['current', 'next'].includes(listed.state)) {
    findings.push(
      failed(
        'membership',
        'The directory does not list this node’s certificate as usable: every peer refuses it.',
        'Use the certificate that is listed, or have this one’s fingerprint published.',
      ),
    )
  } else if (Date.parse(listed.notAfter) < now.getTime()) {
    findings.push(
      failed('membership', 'The directory’s entry for this node’s certificate has ended.', 'Have the new certificate published.'),
    )
  }
  const key = directory.findSigningKey(self, identity.signingKey.kid)
  if (key?.state !== 'current') {
    findings.push(
      failed(
        'membership',
        `SIGN_KEY is ${key ? `listed as ${key.state}` : 'not in the directory'}: peers refuse what it signs.`,
        'Set SIGN_KEY to the key that the directory lists as current.',
      ),
    )
  }
  const { kid } = identity.auditKeys.forYear(now.getUTCFullYear())
  const auditKey = member.keys.find((each) => each.use === 'audit' && each.kid === kid)
  if (auditKey?.state !== 'current' && auditKey?.state !== 'next') {
    findings.push(
      failed(
        'membership',
        `AUDIT_KEY is ${auditKey ? `listed as ${auditKey.state}` : 'not in the directory'}: nobody can verify the audit log that it signs.`,
        'Set AUDIT_KEY to the key that the directory lists for this year.',
      ),
    )
  }
  return findings.length > 0
    ? findings
    : [ok('membership', 'The directory lists this member with this certificate, signing key and audit key.')]
}

function splitPem(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
}
