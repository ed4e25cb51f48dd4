// Exit codes and what is said: 0 done, 1 it failed, 2 it was asked wrongly; never a stack, never a secret.
import t from 'tap'
import { run } from './program.ts'

const commands = [
  '',
  'node',
  'node start',
  'migrate',
  'certs',
  'certs dev',
  'office dev-network',
  'client add',
  'client list',
  'client revoke',
  'evidence',
  'openapi',
  'doctor',
  'demo',
]

t.test('every command explains itself and exits 0', async (t) => {
  for (const command of commands) {
    const { code, stdout, stderr } = await run([...command.split(' ').filter(Boolean), '--help'])
    t.equal(code, 0, command || 'crossline')
    t.match(stdout, /^Usage: crossline/)
    t.equal(stderr, '')
  }
})

const asked = [
  ['an unknown command', ['nonsense']],
  ['an unknown option', ['demo', '--nonsense']],
  ['an option that is missing', ['client', 'add']],
  ['a value that is not one of the choices', ['client', 'add', '--role', 'king']],
  ['an argument too many', ['openapi', 'extra']],
  ['no settings at all', ['doctor']],
] as const

for (const [what, args] of asked) {
  t.test(`exits 2 for ${what}`, async (t) => {
    const { code, stderr } = await run(args)
    t.equal(code, 2)
    t.not(stderr, '')
    t.notMatch(stderr, /\n\s+at /, 'no stack')
  })
}

t.test('exits 1 when it fails, without a stack and without a secret', async (t) => {
  const { code, stdout, stderr } = await run(['migrate'], { DATABASE_URL: 'postgres://someone:verysecret@127.0.0.1:1/none' })
  t.equal(code, 1)
  t.match(stderr, /^crossline: database_unavailable: /)
  t.notMatch(stdout + stderr, /verysecret|\n\s+at /)
})

t.test('names every setting that is missing at once', async (t) => {
  const { stderr } = await run(['node', 'start'])
  for (const name of ['MEMBER_ID', 'TLS_CERT', 'TLS_KEY', 'TLS_CA', 'SIGN_KEY', 'AUDIT_KEY']) t.match(stderr, name)
})
