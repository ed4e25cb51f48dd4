// Databases of several vendors' layouts, broken ones, and ones that are replaced while the node runs.
import { existsSync } from 'node:fs'
import { copyFile, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import {
  ageInDays,
  embeddedAttribution,
  findEmbeddedDatabase,
  type GeoDatabaseOptions,
  openGeoDatabase,
} from '#clients/geo-database.ts'

const geo = join(import.meta.dirname, '..', 'geo')
const countryFile = join(geo, 'GeoLite2-Country-Test.mmdb')
const asnFile = join(geo, 'GeoLite2-ASN-Test.mmdb')
const shared = process.env.CROSSLINE_VECTORS && join(process.env.CROSSLINE_VECTORS, '..', 'geo')
const brokenFiles = {
  'GeoIP2-City-Test-Invalid-Node-Count.mmdb': 'metadata',
  'MaxMind-DB-test-broken-pointers-24.mmdb': 'search_tree',
  'MaxMind-DB-test-broken-search-tree-24.mmdb': 'search_tree',
}

async function open(t: { teardown(after: () => void): void }, options: GeoDatabaseOptions) {
  const database = await openGeoDatabase({ pollMs: 50, settleMs: 10, ...options })
  t.teardown(() => database.close())
  return database
}

t.test('finds country and network in MaxMind databases, in IPv4 and IPv6', async (t) => {
  const database = await open(t, { countryPath: countryFile, asnPath: asnFile })
  t.strictSame(database.find('89.160.20.112'), { country: 'SE', asn: 29518, organisation: 'Bredband2 AB' })
  t.strictSame(database.find('2001:218::1').country, 'JP')
  t.strictSame(database.find('1.1.1.1'), { country: null, asn: null, organisation: null })
  t.strictSame(database.find('no address'), { country: null, asn: null, organisation: null })
  t.match(database.sources(), {
    country: { database: 'GeoLite2-Country', builtAt: '2026-02-04T22:49:29.000Z' },
    asn: { database: 'GeoLite2-ASN' },
  })
})

t.test('uses the embedded DB-IP database when none is given, and can say how old it is', async (t) => {
  const database = await open(t, {})
  t.equal(database.find('81.2.69.142').country, 'GB')
  t.equal(database.sources().asn, undefined)
  t.match(database.sources().country, { database: /DB-IP/, builtAt: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/ })
  t.equal(ageInDays('2026-06-01T12:00:00.000Z', Date.parse('2026-06-03T11:00:00.000Z')), 1)
  t.match(embeddedAttribution, /db-ip\.com.*CC BY 4\.0/)
})

t.test('does not look an IPv6 address up in a database that holds IPv4 only', async (t) => {
  const database = await open(t, { countryPath: findEmbeddedDatabase().replace('dbip-country.mmdb', 'dbip-country-ipv4.mmdb') })
  t.equal(database.find('81.2.69.142').country, 'GB')
  t.equal(database.find('5102:458e::1').country, null)
})

// Layouts of other vendors: a database of one record for all addresses, written byte by byte (MaxMind DB specification 2.0).
const layouts: [string, Record<string, unknown>, string | null][] = [
  ['ip-location-db', { country_code: 'DE' }, 'DE'],
  ['IPinfo lite', { asn: 'AS64496', as_name: 'Example\u202e Networks', country: 'Germany', country_code: 'DE' }, 'DE'],
  ['IPinfo country', { country: 'DE' }, 'DE'],
  ['MaxMind, only registered', { registered_country: { iso_code: 'DE' } }, 'DE'],
  ['MaxMind, both', { country: { iso_code: 'DE' }, registered_country: { iso_code: 'US' } }, 'DE'],
]

for (const [vendor, record, country] of layouts) {
  t.test(`reads the layout of ${vendor}`, async (t) => {
    const path = join(t.testdir(), 'one.mmdb')
    await writeFile(path, writeMmdb(record))
    const database = await open(t, { countryPath: path, ...(record.asn ? { asnPath: path } : {}) })
    t.equal(database.find('192.0.0.1').country, country)
    if (record.asn) t.match(database.find('192.0.0.1'), { asn: 64496, organisation: 'Example Networks' })
  })
}

t.test('refuses what is no database of its kind, and says what is wrong', async (t) => {
  const folder = t.testdir({ 'text.mmdb': 'no database', 'empty.mmdb': '' })
  const whole = await readFile(countryFile)
  const write = async (name: string, bytes: Buffer) => {
    await writeFile(join(folder, name), bytes)
    return join(folder, name)
  }
  const flipped = Buffer.from(whole)
  flipped.fill(0xff, 1000, 1007)
  const cases: [string, string][] = [
    [join(folder, 'text.mmdb'), 'not_mmdb'],
    [join(folder, 'empty.mmdb'), 'not_mmdb'],
    [join(folder, 'absent.mmdb'), 'unreadable'],
    [asnFile, 'wrong_kind'],
    [await write('half.mmdb', whole.subarray(0, whole.length / 2)), 'not_mmdb'],
    [await write('tree.mmdb', flipped), 'search_tree'],
    [await write('tail.mmdb', whole.subarray(whole.length - 400)), 'metadata'],
    [await write('nonsense.mmdb', writeMmdb({ country_code: 'Germany' })), 'wrong_kind'],
    [await write('region.mmdb', writeMmdb({ country_code: 'EU' })), 'wrong_kind'],
    [await write('pointer.mmdb', writeMmdb({ country_code: Buffer.from([0x38, 0xff, 0xff, 0xff, 0xff]) })), 'data_section'],
    [await write('circle.mmdb', writeMmdb({ country_code: 'DE' }, 0)), 'search_tree'],
  ]
  for (const [path, trouble] of cases)
    await t.rejects(openGeoDatabase({ countryPath: path }), { code: 'broken_file', facts: { trouble } }, trouble)
  await t.rejects(openGeoDatabase({ countryPath: countryFile, asnPath: countryFile }), {
    code: 'broken_file',
    facts: { trouble: 'wrong_kind' },
  })
})

t.test('takes a replaced database into use by itself, and a broken one never', async (t) => {
  const path = join(t.testdir(), 'country.mmdb')
  await copyFile(countryFile, path)
  const problems: unknown[] = []
  let loaded = () => {}
  let refused = () => {}
  const onProblem: GeoDatabaseOptions['onProblem'] = (kind, { facts }) => {
    problems.push([kind, facts?.trouble])
    refused()
  }
  const database = await open(t, { countryPath: path, onReload: () => loaded(), onProblem })
  // Watching a file does not keep the process alive, so something else must.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const next = (arm: (done: () => void) => void) => new Promise<void>(arm)
  t.equal(database.find('192.0.0.1').country, null)

  const replaced = next((done) => {
    loaded = done
  })
  await replace(path, writeMmdb({ country_code: 'DE' }))
  await replaced
  t.equal(database.find('192.0.0.1').country, 'DE')

  const broken = next((done) => {
    refused = done
  })
  await truncate(path, 10)
  await broken
  t.equal(database.find('192.0.0.1').country, 'DE')
  t.match(await database.reload(), { country: 'kept', asn: 'absent' })

  const gone = next((done) => {
    refused = done
  })
  await rm(path)
  await gone
  t.equal(database.find('192.0.0.1').country, 'DE')
  t.strictSame(
    problems,
    [
      ['country', 'not_mmdb'],
      ['country', 'unreadable'],
    ],
    'each change is told once',
  )

  const back = next((done) => {
    loaded = done
  })
  await replace(path, writeMmdb({ country_code: 'FR' }))
  await back
  t.equal(database.find('192.0.0.1').country, 'FR')
  t.match(await database.reload(), { country: 'unchanged' })
})

t.test('looks at its files no more once it is closed', async (t) => {
  const path = join(t.testdir(), 'country.mmdb')
  await copyFile(countryFile, path)
  const database = await openGeoDatabase({ countryPath: path })
  database.close()
  await replace(path, writeMmdb({ country_code: 'DE' }))
  t.match(await database.reload(), { country: 'unchanged' })
  t.equal(database.find('192.0.0.1').country, null)
})

const withoutVectors = shared && existsSync(shared) ? false : 'CROSSLINE_VECTORS is not set'
for (const [name, trouble] of Object.entries(brokenFiles)) {
  t.test(`refuses MaxMind's ${name}, at start and as a replacement`, { skip: withoutVectors }, async (t) => {
    const broken = join(String(shared), name)
    await t.rejects(openGeoDatabase({ countryPath: broken }), { code: 'broken_file', facts: { trouble } })
    const path = join(t.testdir(), 'country.mmdb')
    await copyFile(countryFile, path)
    const problems: unknown[] = []
    const database = await open(t, { countryPath: path, onProblem: (_, { facts }) => problems.push(facts?.trouble) })
    await replace(path, await readFile(broken))
    t.match(await database.reload(), { country: 'kept' })
    t.strictSame(problems, [trouble])
    t.equal(database.find('89.160.20.112').country, 'SE')
  })
}

async function replace(path: string, bytes: Buffer): Promise<void> {
  await writeFile(`${path}.new`, bytes)
  await rename(`${path}.new`, path)
}

/** IPv4, 24-bit records, one node; both branches lead to the record, or the left one to the node `left`. */
function writeMmdb(record: Record<string, unknown>, left = 17): Buffer {
  const tree = Buffer.from([0, 0, left, 0, 0, 17])
  const metadata = {
    binary_format_major_version: 2,
    binary_format_minor_version: 0,
    build_epoch: 1_780_000_000,
    database_type: 'Test',
    description: {},
    ip_version: 4,
    node_count: 1,
    record_size: 24,
  }
  return Buffer.concat([
    tree,
    Buffer.alloc(16),
    writeValue(record),
    Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1'),
    writeValue(metadata),
  ])
}

function writeValue(value: unknown): Buffer {
  if (Buffer.isBuffer(value)) return value
  if (typeof value === 'number')
    return Buffer.from([(6 << 5) | 4, value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255])
  if (typeof value === 'string') {
    const bytes = Buffer.from(value)
    return Buffer.concat([Buffer.from(bytes.length < 29 ? [(2 << 5) | bytes.length] : [(2 << 5) | 29, bytes.length - 29]), bytes])
  }
  const entries = Object.entries(value as object)
  return Buffer.concat([
    Buffer.from([(7 << 5) | entries.length]),
    ...entries.flatMap(([name, each]) => [writeValue(name), writeValue(each)]),
  ])
}
