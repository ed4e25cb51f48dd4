// The canonical form is what reports are compared and routed by: it must be stable, and must refuse what a parser would repair.
import fc from 'fast-check'
import t from 'tap'
import { canonicalUrl, defangUrl, maxUrlLength } from '#domain/canonical-url.ts'
import { CrosslineError } from '#errors.ts'

const forms: [string, string, string, string][] = [
  ['HTTPS://Images.Example:443/a?b=1#part', 'https://images.example/a?b=1', 'images.example', 'name'],
  ['http://images.example:80', 'http://images.example/', 'images.example', 'name'],
  ['ftp://files.example:21/x', 'ftp://files.example/x', 'files.example', 'name'],
  ['http://images.example:8080/', 'http://images.example:8080/', 'images.example', 'name'],
  ['http://images.example./a', 'http://images.example/a', 'images.example', 'name'],
  ['http://bücher.example/', 'http://xn--bcher-kva.example/', 'xn--bcher-kva.example', 'name'],
  ['http://例え.テスト/絵', 'http://xn--r8jz45g.xn--zckzah/%E7%B5%B5', 'xn--r8jz45g.xn--zckzah', 'name'],
  ['http://images。example/', 'http://images.example/', 'images.example', 'name'],
  ['http://images.example/%7euser/%c3%a9', 'http://images.example/~user/%C3%A9', 'images.example', 'name'],
  ['http://images.example/a%2fb%2Fc', 'http://images.example/a%2Fb%2Fc', 'images.example', 'name'],
  ['http://images.example/a%252fb', 'http://images.example/a%252fb', 'images.example', 'name'],
  ['http://images.example/%%36%31', 'http://images.example/%2561', 'images.example', 'name'],
  ['http://images.example/100%?p=5%zz', 'http://images.example/100%25?p=5%25zz', 'images.example', 'name'],
  ['http://images.example/a|b?c|d=e\\f', 'http://images.example/a%7Cb?c%7Cd=e%5Cf', 'images.example', 'name'],
  ['http://images.example/a/../b/%2e%2E/c', 'http://images.example/c', 'images.example', 'name'],
  ['http://images.example/?', 'http://images.example/?', 'images.example', 'name'],
  ['http://images.example/?#x', 'http://images.example/?', 'images.example', 'name'],
  ['http://0300.0.2.1/', 'http://192.0.2.1/', '192.0.2.1', 'ipv4'],
  ['http://0xc0.0.0x2.01/', 'http://192.0.2.1/', '192.0.2.1', 'ipv4'],
  ['http://3221225985/', 'http://192.0.2.1/', '192.0.2.1', 'ipv4'],
  ['http://192.0.2.1./', 'http://192.0.2.1/', '192.0.2.1', 'ipv4'],
  ['http://１９２.0.2.1/', 'http://192.0.2.1/', '192.0.2.1', 'ipv4'],
  ['http://[2001:DB8:0:0::1]:80/', 'http://[2001:db8::1]/', '2001:db8::1', 'ipv6'],
  ['https://[::ffff:192.0.2.1]:444/', 'https://[::ffff:c000:201]:444/', '::ffff:c000:201', 'ipv6'],
  ['http://Crosslinetestaaa.Onion/x', 'http://crosslinetestaaa.onion/x', 'crosslinetestaaa.onion', 'onion'],
  ['http://images.onion./', 'http://images.onion/', 'images.onion', 'onion'],
  ['http://onion.example/', 'http://onion.example/', 'onion.example', 'name'],
]

const refused = [
  '',
  'images.example/a',
  '//images.example/',
  'http:images.example',
  'http:/images.example',
  'http:///images.example',
  'http://',
  'http://?x',
  'data:image/png;base64,AAAA',
  'javascript:alert(1)',
  'blob:https://images.example/x',
  'file:///etc/x',
  'ws://images.example/',
  'gopher://images.example/',
  'http://user:pass@images.example/',
  'http://user@images.example/',
  'http://@images.example/',
  'https://images.example\\@other.example/',
  'http://images.example\\a',
  'http:\\\\images.example\\',
  'http://images.example/a\\b',
  ' http://images.example/',
  'http://images.example/ a',
  'http://images.example/\ta',
  'ht\ntp://images.example/',
  'http://images.example/\u0000',
  'http://images.example/\u0085',
  'http://images.example/\u202egpj.exe',
  'http://\u2066images.example/',
  'http://images.example/\u200f',
  'http://images.example/\u200b',
  'http://images.example/\u3000',
  '\ufeffhttp://images.example/',
  'http://images.example/\ud800',
  'http://images..example/',
  'http://.example/',
  'http://192.0.2.1../',
  'http://192.0.2.256/',
  'http://[2001:db8::1',
  'http://[fe80::1%25eth0]/',
  'http://images.example:99999/',
  `http://${'a'.repeat(64)}.example/`,
  `http://${'abcdefg.'.repeat(32)}example/`,
  `http://images.example/${'a'.repeat(maxUrlLength)}`,
  `http://images.example/${'é'.repeat(2000)}`,
]

t.test('writes every form of a URL in the one canonical way', async (t) => {
  for (const [input, url, host, kind] of forms) t.strictSame(canonicalUrl(input), { url, host, kind }, input)
})

t.test(
  'refuses other schemes, credentials, invisible characters and whatever a parser would repair, without repeating the input',
  async (t) => {
    for (const input of refused) {
      try {
        canonicalUrl(input)
        t.fail('accepted', { input })
      } catch (error) {
        t.ok(error instanceof CrosslineError && error.code === 'schema_invalid' && error.detail !== undefined, input.slice(0, 60))
        t.notMatch(String((error as Error).stack), /images|other\.example|user:pass|abcdefg/)
      }
    }
    t.throws(() => canonicalUrl('http://user:pass@images.example/'), /accessCredentials/)
  },
)

t.test('gives a canonical URL unchanged when it is asked again', async (t) => {
  const part = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string(),
    fc.stringMatching(/^(%[0-9a-fA-F]{0,2}|[a-z./?#;|'[\]^`{}]){0,12}$/),
  )
  const host = fc.oneof(
    fc.domain(),
    fc.ipV4(),
    fc.ipV6().map((address) => `[${address}]`),
    fc.constantFrom('bücher.example.', '0x7f.1', 'x.onion', '1.2.3'),
    part,
  )
  const anyUrl = fc.oneof(
    fc.webUrl({ withQueryParameters: true, withFragments: true }),
    fc
      .tuple(fc.constantFrom('http', 'HTTPS', 'ftp'), host, part, part)
      .map(([scheme, name, path, rest]) => `${scheme}://${name}/${path}?${rest}`),
  )
  let accepted = 0
  fc.assert(
    fc.property(anyUrl, (input) => {
      const first = canonicalOrNothing(input)
      if (first === undefined) return
      accepted += 1
      const again = canonicalUrl(first.url)
      if (JSON.stringify(again) !== JSON.stringify(first)) throw new Error('not idempotent')
      if (new URL(first.url).href !== first.url) throw new Error('not what a WHATWG parser would write')
    }),
    { numRuns: 5000 },
  )
  t.ok(accepted > 1000, 'most of the runs were about accepted URLs')
})

t.test('shows URLs to people in a form that nothing makes a link of', async (t) => {
  t.equal(defangUrl('https://images.example/a.b?c=d'), 'hxxps://images[.]example/a.b?c=d')
  t.equal(defangUrl('ftp://files.example:2121/'), 'fxp://files[.]example:2121/')
  t.equal(defangUrl('http://192.0.2.1/'), 'hxxp://192[.]0[.]2[.]1/')
  t.equal(defangUrl('http://[2001:db8::1]:8080/x'), 'hxxp://[2001[:]db8[:][:]1]:8080/x')
  t.equal(defangUrl('http://a.example/?to=https://www.b.example/'), 'hxxp://a[.]example/?to=https[://]www[.]b.example/')
  for (const odd of ['', 'javascript:alert(1)', 'http://images.example/\u202e', 'http://images.example/\n', 'not a url'])
    t.equal(defangUrl(odd), '(unreadable URL)')
})

function canonicalOrNothing(input: string) {
  try {
    return canonicalUrl(input)
  } catch (error) {
    if (error instanceof CrosslineError) return undefined
    throw error
  }
}
