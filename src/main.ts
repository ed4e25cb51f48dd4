// The command line: parses, reads the environment, runs one command, stops on SIGTERM. The only reader of process.env.
// Exit codes: 0 done, 1 it failed, 2 it was asked wrongly (bad arguments or configuration).
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError, Option } from 'commander'
import type { ExportOptions } from '#commands/audit-export.ts'
import { readConfig, variables } from '#config.ts'
import { CrosslineError } from '#errors.ts'

const env = process.env

function readVersion(): string {
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as { version: string }
  return manifest.version
}

const impatienceMs = 1000

/** Runs until SIGTERM, SIGINT or SIGHUP; a second signal ends at once, unless it is the first one's echo (npm forwards what the terminal sent). */
function untilStopped(): Promise<void> {
  let firstAt = 0
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (firstAt > 0 && Date.now() - firstAt > impatienceMs) process.exit(1)
        firstAt ||= Date.now()
        resolve()
      })
    }
  })
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

const program = new Command('crossline')
  .description(
    'The exchange that child-protection hotlines run. Settings come from the environment; see `crossline node start --help`.',
  )
  .version(readVersion())
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })
  .showHelpAfterError('(add --help for what may stand here)')

const node = program.command('node').description('run the node of one member')
node
  .command('start')
  .description('start the node and stay up until SIGTERM')
  .addHelpText(
    'after',
    `\nEnvironment:\n${Object.entries(variables)
      .map(([name, use]) => `  ${name.padEnd(18)} ${use}`)
      .join('\n')}`,
  )
  .action(async () => {
    const { startNode } = await import('#node.ts')
    const running = await startNode(readConfig(env))
    const cause = await Promise.race([untilStopped().then(() => 'asked'), running.broken.then(() => 'broken')])
    const outcome = await running.stop()
    // What still hangs would keep the process up.
    if (cause === 'broken' || outcome === 'cut_off') process.exit(1)
  })

program
  .command('migrate')
  .description('bring the schema of DATABASE_URL (an administering address) or of the embedded database up to date')
  .action(async () => {
    const { runMigrations } = await import('#commands/run-migrations.ts')
    say(await runMigrations(env))
  })

const certs = program.command('certs').description('certificates')
certs
  .command('dev')
  .description('make a development authority, certificates and keys; what is there and still good is kept')
  .option('--out <folder>', 'where they go', 'certs-dev')
  .option('--force', 'make everything anew', false)
  .option('--password <text>', 'password of the .p12 files', 'crossline')
  .action(async (options: { out: string; force: boolean; password: string }) => {
    const { makeDevelopmentCertificates } = await import('#commands/certs-dev.ts')
    const { issued } = await makeDevelopmentCertificates({
      folder: options.out,
      force: options.force,
      password: options.password,
    })
    say(
      issued.length > 0
        ? `made ${issued.length} files in ${options.out}; the .p12 files open with the password given`
        : `nothing to do: everything in ${options.out} is good for 30 days or more`,
    )
  })

const office = program.command('office').description('the network office')
office
  .command('dev-network')
  .description('write root.json and directory.json of a development network, signed by two of its three officers')
  .option('--folder <folder>', 'the folder of `certs dev`', 'certs-dev')
  .action(async (options: { folder: string }) => {
    const { authorDevNetwork, describeDemoNetwork } = await import('#commands/office-dev-network.ts')
    const { root, directory } = await authorDevNetwork({ folder: options.folder, ...describeDemoNetwork() })
    say(`directory ${directory.version} and its root are in ${options.folder}/network; root fingerprint ${root.hash}`)
  })

const client = program.command('client').description('client certificates')
client
  .command('add')
  .description('issue a client certificate, or take one that exists, and register it with the database')
  .addOption(new Option('--role <role>', 'what it may do').choices(['hotline', 'liaison', 'operator']).makeOptionMandatory())
  .option('--name <name>', 'what it is called', 'client')
  .option('--country <code...>', 'countries of a liaison, ISO 3166-1 alpha-2')
  .option('--network-wide', 'a liaison who sees every country (INTERPOL’s kind)', false)
  .option('--out <folder>', 'where key, certificate and .p12 go', '.')
  .option('--ca <folder>', 'folder of `certs dev` whose authority issues it', 'certs-dev')
  .option('--certificate <file>', 'register this certificate instead of issuing one')
  .option('--password <text>', 'password of the .p12 file', 'crossline')
  .action(async (options: ClientOptions) => {
    const { addClient } = await import('#commands/client-add.ts')
    say(await addClient(env, options))
  })

client
  .command('list')
  .description('list the registered client certificates, the revoked ones too')
  .action(async () => {
    const { listClients } = await import('#commands/client-registry.ts')
    say(await listClients(env))
  })
client
  .command('revoke')
  .description('refuse every later call with a client certificate')
  .argument('<fingerprint>', 'as `client list` shows it; after `--` if it begins with a dash')
  .action(async (fingerprint: string) => {
    const { revokeRegistered } = await import('#commands/client-registry.ts')
    say(await revokeRegistered(env, fingerprint))
  })

interface ClientOptions {
  role: 'hotline' | 'liaison' | 'operator'
  name: string
  country?: string[]
  networkWide: boolean
  out: string
  ca: string
  certificate?: string
  password: string
}

const audit = program.command('audit').description('the audit log, and erasing')
audit
  .command('verify')
  .description('verify an audit bundle offline: 0 valid, 1 tampered, 2 incomplete or below quorum, 3 unreadable')
  .argument('<bundle>', 'the .tar of an export')
  .requiredOption('--policy <file>', 'whose logs, which witnesses, how many of them (C2SP tlog-policy)')
  .option('--since <file>', 'a checkpoint that was kept: the log must only have grown since')
  .option('--json', 'print JSON', false)
  .action(async (bundle: string, options: { policy: string; since?: string; json: boolean }) => {
    const { verifyFile } = await import('#commands/verify-file.ts')
    const { text, exitCode } = verifyFile(bundle, { ...options, note: (line) => process.stderr.write(`${line}\n`) })
    say(text)
    process.exitCode = exitCode
  })

audit
  .command('fsck')
  .description(
    'look at the whole log in the database again, as `audit verify` does at a bundle; the same exit codes, nothing is changed',
  )
  .option('--json', 'print JSON', false)
  .action(async (options: { json: boolean }) => {
    const { auditFsck } = await import('#commands/audit-fsck.ts')
    const { text, exitCode } = await auditFsck(env, options, (line) => process.stderr.write(`${line}\n`))
    say(text)
    process.exitCode = exitCode
  })

audit
  .command('export')
  .description('write a bundle of entries with all that proves them offline; the order is itself an entry')
  .option('--item <id>', 'only entries of this item')
  .option('--case <number>', 'only entries that carry this file number')
  .option('--since <time>', 'only entries recorded at or after, as 2026-01-31T00:00:00.000Z')
  .option('--until <time>', 'only entries recorded before')
  .option('--event <event>', 'only this event')
  .option('--member <id>', 'only entries from or to this member')
  .option('--country <code>', 'only entries about content hosted there')
  .option('--fresh', 'index the items first, so that the bundle is complete up to now; the node must be running', false)
  .addOption(new Option('--format <format>', 'csv adds a table for people').choices(['ndjson', 'csv']).default('ndjson'))
  .requiredOption('--out <file>', 'the bundle: a file that is not there yet')
  .action(async (options: ExportOptions) => {
    const { exportByOperator } = await import('#commands/audit-export.ts')
    say(await exportByOperator(env, options))
  })
audit
  .command('resume')
  .description('look at the whole sealed log again and, if all of it holds, end a halt of its sealing')
  .requiredOption('--reason <text>', 'what was wrong and what was done; stands in the log')
  .action(async (options: { reason: string }) => {
    const { resumeAudit } = await import('#commands/audit-resume.ts')
    say(await resumeAudit(env, options))
  })
audit
  .command('erase')
  .description('destroy key, texts and what opens the entries of a closed item, or of a report with its items; the entries stay')
  .option('--item <id>', 'the item')
  .option('--report <id>', 'the report')
  .requiredOption('--basis <code>', 'legal basis: retention, not_needed, data_subject, court_order, authority_order or unlawful')
  .option('--reason-file <file>', 'the paper that orders it: its digest goes into the log, nothing else of it')
  .action(async (options: { item?: string; report?: string; basis: string; reasonFile?: string }) => {
    const { eraseByOperator } = await import('#commands/audit-erase.ts')
    say(await eraseByOperator(env, options))
  })
audit
  .command('hold')
  .description('forbid to erase an item, or a report with its items')
  .option('--item <id>', 'the item')
  .option('--report <id>', 'the report')
  .option('--until <day>', 'its end, as 2027-01-31; without it, until it is released')
  .requiredOption('--basis <code>', 'legal basis: police_request, court_order, authority_order or legal_claim')
  .action(async (options: { item?: string; report?: string; basis: string; until?: string }) => {
    const { holdByOperator } = await import('#commands/audit-erase.ts')
    say(await holdByOperator(env, options))
  })
audit
  .command('release-hold')
  .description('end a hold')
  .argument('<hold>', 'its id, as `audit hold` and `audit holds` print it')
  .action(async (hold: string) => {
    const { releaseByOperator } = await import('#commands/audit-erase.ts')
    say(await releaseByOperator(env, hold))
  })
audit
  .command('holds')
  .description('list the holds, those that are over too')
  .action(async () => {
    const { describeHolds } = await import('#commands/audit-erase.ts')
    say(await describeHolds(env))
  })
audit
  .command('replay-erasures')
  .description('do again what this database does not know as erased or held; the node does it at every start')
  .option('--dry-run', 'only say what would be done', false)
  .action(async (options: { dryRun: boolean }) => {
    const { replayByOperator } = await import('#commands/audit-erase.ts')
    say(await replayByOperator(env, options))
  })

program
  .command('evidence')
  .description('print the evidence of one message as JSON; with --check verify evidence from a file, offline')
  .argument('<message>', 'message id; with --check the file that holds the evidence')
  .option('--check', 'verify instead of print', false)
  .option('--directory <file>', 'directory.json with the members’ keys, for --check')
  .option('--root <file>', 'root.json that the directory is signed under, for --check')
  .action(async (message: string, options: { check: boolean; directory?: string; root?: string }) => {
    const { checkEvidence, printEvidence } = await import('#commands/evidence.ts')
    say(options.check ? await checkEvidence(message, options) : await printEvidence(env, message))
  })

program
  .command('openapi')
  .description('write openapi/openapi.json from the schemas')
  .option('--check', 'compare only; exit 1 if it differs', false)
  .action(async (options: { check: boolean }) => {
    const { writeOpenapi } = await import('#commands/write-openapi.ts')
    const result = await writeOpenapi(options)
    say(
      result === 'stale'
        ? 'openapi/openapi.json differs from the schemas: run `crossline openapi`'
        : `openapi/openapi.json is ${result}`,
    )
    if (result === 'stale') process.exitCode = 1
  })

program
  .command('doctor')
  .description('look at database, clock, certificates, directory, geolocation and peers, and say what to do')
  .option('--json', 'print JSON', false)
  .action(async (options: { json: boolean }) => {
    const { examine } = await import('#commands/doctor.ts')
    const { text, healthy } = await examine(env, options)
    say(text)
    if (!healthy) process.exitCode = 1
  })

program
  .command('demo')
  .description('three hotlines, three countries, one report: the whole journey, on this machine')
  .option('--once', 'stop everything at the end; exit 0 only if all is as expected', false)
  .option('--json', 'end with one JSON line of figures', false)
  .option('--data <folder>', 'where the demo keeps its data', 'data/demo')
  .action(async (options: { once: boolean; json: boolean; data: string }) => {
    const { runDemo } = await import('#commands/demo.ts')
    const abort = new AbortController()
    const stopped = untilStopped().then(() => abort.abort())
    // Whoever reads us has gone, as in `demo | head`: nothing may stay behind then either.
    process.stdout.on('error', () => process.kill(process.pid, 'SIGTERM'))
    const demo = await runDemo({ data: options.data, staysUp: !options.once, say, signal: abort.signal })
    if (!options.once) {
      say('The demo stays up until you press Ctrl-C.')
      await stopped
    }
    await demo.stop()
    if (options.json) say(JSON.stringify(demo.figures))
    if (!demo.figures.asExpected) process.exitCode = 1
  })

try {
  await program.parseAsync(process.argv)
} catch (error) {
  process.exitCode = report(error)
}

/** What went wrong, for a person: a code and what to do, never a stack. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof CrosslineError) {
    process.stderr.write(`crossline: ${error.code}: ${error.detail ?? error.message}\n`)
    return error.code === 'invalid_config' ? 2 : 1
  }
  const { name, code } = error as { name?: string; code?: string }
  process.stderr.write(
    `crossline: internal: ${name ?? 'Error'}${code ? ` (${code})` : ''}. Run it with LOG_LEVEL=debug, or \`crossline doctor\`.\n`,
  )
  if (env.LOG_LEVEL === 'debug' && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  return 1
}
