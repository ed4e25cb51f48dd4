#!/usr/bin/env node
// Verifies an audit bundle of Crossline: one file, no dependency, no network. How to use it: README.md beside it.
// Generated from src/ by `npm run verifier`; `npm run check` compares. License: Apache-2.0.

// src/commands/verifier-main.ts
import { parseArgs } from "node:util";

// src/commands/verify-file.ts
import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";

// src/errors.ts
var errorCodes = {
  // Hotline, liaison and operator API
  malformed_request: { status: 400, title: "The request could not be read" },
  schema_invalid: { status: 422, title: "A field does not have the form that the schema asks for" },
  too_large: { status: 413, title: "The request is larger than allowed" },
  unsupported_media_type: { status: 415, title: "The content type is not supported here" },
  not_found: { status: 404, title: "There is no such resource, or it is not yours to see" },
  method_not_allowed: { status: 405, title: "The method is not allowed here" },
  unknown_client: { status: 401, title: "The client certificate is not registered at this node" },
  role_forbidden: { status: 403, title: "The role of this client certificate does not allow this call" },
  idempotency_conflict: { status: 409, title: "The Idempotency-Key was used before with another body" },
  id_conflict: { status: 409, title: "The id is already in use with other content" },
  wrong_state: { status: 409, title: "The item is not in a state that allows this" },
  not_owner: { status: 409, title: "Only the owner of the item may do this" },
  erased: { status: 409, title: "The texts were erased: nothing more can be done with this" },
  item_live: { status: 409, title: "What is not closed, or still has something to send, is not erased" },
  legal_hold: { status: 409, title: "A legal hold forbids to erase this" },
  purpose_required: { status: 422, title: "A query of the audit log must state its purpose" },
  export_limit: { status: 429, title: "Too many exports of this client are under way" },
  export_not_ready: { status: 409, title: "The bundle of the export is not done" },
  range_unsatisfiable: { status: 416, title: "The range is not in the bundle" },
  invalid_cursor: { status: 422, title: "The cursor is not one that this node gave" },
  // Federation (protocol.md, Errors)
  malformed_proof: { status: 401, title: "The proof does not have the required form" },
  certificate_mismatch: { status: 401, title: "The proof does not belong to the certificate of this connection" },
  unknown_key: { status: 401, title: "The key is not among the current keys of the member" },
  bad_signature: { status: 401, title: "The signature does not verify" },
  wrong_audience: { status: 401, title: "The proof is addressed to another member" },
  expired_proof: { status: 401, title: "The proof has expired" },
  clock_skew: { status: 401, title: "The proof was issued in the future: the clocks differ" },
  replayed_proof: { status: 409, title: "The proof was used before" },
  not_a_member: { status: 403, title: "The certificate belongs to no member of the directory" },
  member_suspended: { status: 403, title: "The member may not exchange now" },
  batch_conflict: { status: 409, title: "The batch id was used before with other messages" },
  digest_mismatch: { status: 400, title: "The bytes are not the ones that were signed" },
  broken_compression: { status: 422, title: "The compressed body is broken" },
  unsupported_encoding: { status: 415, title: "The content encoding is not supported here" },
  version_unsupported: { status: 426, title: "This version of the protocol is not served" },
  unknown_log: { status: 404, title: "The checkpoint is not of a log that the caller may submit" },
  unsigned_checkpoint: { status: 403, title: "No current key of the log has signed the checkpoint" },
  broken_proof: { status: 422, title: "The consistency proof does not verify" },
  rate_limited: { status: 429, title: "Too many requests" },
  quota_exceeded: { status: 429, title: "As many entries of the audit log as a day allows have been shown" },
  overloaded: { status: 503, title: "The node is overloaded" },
  maintenance: { status: 503, title: "The node is under maintenance" },
  bad_checkpoint: { status: 422, title: "The checkpoint does not have its exact form, or a signature on it does not verify" },
  audit_unavailable: { status: 503, title: "The audit log cannot be written, so nothing is accepted" },
  internal: { status: 500, title: "The node failed" },
  // Command line, start-up and set-up: never leave the node as a document
  invalid_config: { status: 500, title: "The configuration is not usable" },
  database_unavailable: { status: 503, title: "The database cannot be reached" },
  migration_needed: { status: 503, title: "The database schema is older than the program" },
  broken_file: { status: 500, title: "A file does not have the form that it should have" },
  bad_directory: { status: 500, title: "The directory does not verify" },
  bad_evidence: { status: 500, title: "The evidence does not verify" },
  bad_policy: { status: 500, title: "The policy of logs and witnesses is not usable" },
  bad_answer: { status: 500, title: "The signed answer of a peer does not verify" },
  bad_receipt: { status: 500, title: "The receipt does not verify" },
  demo_failed: { status: 500, title: "The demo cannot go on" }
};
var CrosslineError = class extends Error {
  code;
  pointer;
  detail;
  retryAfterS;
  facts;
  constructor(code, facts = {}) {
    super(facts.detail ?? errorCodes[code].title, { cause: facts.cause });
    this.name = "CrosslineError";
    this.code = code;
    this.pointer = facts.pointer;
    this.detail = facts.detail;
    this.retryAfterS = facts.retryAfterS;
    this.facts = facts.facts;
  }
};

// src/domain/exact-text.ts
var decimal = /^(?:0|[1-9][0-9]{0,15})$/;
function parseDecimal(text) {
  if (!decimal.test(text)) return void 0;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : void 0;
}
function parseBase64(text) {
  const bytes2 = Buffer.from(text, "base64");
  return bytes2.toString("base64") === text ? bytes2 : void 0;
}
function parseHash(text) {
  const bytes2 = parseBase64(text);
  return bytes2?.length === 32 ? bytes2 : void 0;
}

// src/domain/signed-note.ts
import { hash } from "node:crypto";
var maxSignatures = 100;
var maxNoteLength = 1048576;
var signatureLine = /^— ([^ ]+) ([A-Za-z0-9+/=]+)$/u;
var forbidden = /[^\P{Cc}\n]|\ufffd/u;
var notInName = /[\s\p{Cc}\p{Z}+]/u;
function parseNote(note) {
  if (note.length > maxNoteLength) throw refusal("the note is too long");
  if (!note.isWellFormed() || forbidden.test(note)) throw refusal("the note holds a character that no note may hold");
  const end = note.lastIndexOf("\n\n");
  if (end < 0 || !note.endsWith("\n")) throw refusal("the note has no text, no signature or no last newline");
  const lines = note.slice(end + 2, -1).split("\n");
  if (lines.length > maxSignatures) throw refusal("the note has too many signatures");
  const signatures = lines.map(parseSignatureLine);
  refuseSecondSignature(signatures);
  return { text: note.slice(0, end + 1), signatures };
}
function checkKeyName(name2) {
  if (name2 === "" || !name2.isWellFormed() || notInName.test(name2) || forbidden.test(name2))
    throw refusal("a name is empty or holds a space, a plus or a control character");
  return name2;
}
function parseVerifierKey(text) {
  const [, name2 = "", keyId, encoded = ""] = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/su.exec(text) ?? [];
  const bytes2 = parseBase64(encoded);
  const type = bytes2?.[0];
  if (!bytes2 || type !== 1 && type !== 4) throw refusal("a verifier key is not one of Ed25519 or cosignature/v1");
  const key = makeVerifierKey(name2, type, bytes2.subarray(1));
  if (key.keyId.toString("hex") !== keyId) throw refusal("the key id does not belong to the verifier key");
  return key;
}
function makeVerifierKey(name2, type, publicKey) {
  if (publicKey.length !== 32) throw refusal("a public key has not 32 bytes");
  const typed = Buffer.concat([Buffer.of(type), publicKey]);
  const keyId = hash("sha256", Buffer.concat([Buffer.from(`${checkKeyName(name2)}
`), typed]), "buffer").subarray(0, 4);
  return { name: name2, type, keyId, publicKey, text: `${name2}+${keyId.toString("hex")}+${typed.toString("base64")}` };
}
function parseSignatureLine(line) {
  const [, name2 = "", encoded = ""] = signatureLine.exec(line) ?? [];
  const bytes2 = parseBase64(encoded);
  if (!bytes2 || bytes2.length <= 4) throw refusal("a signature line does not have its form");
  return { name: checkKeyName(name2), keyId: bytes2.subarray(0, 4), signature: bytes2.subarray(4), line: `${line}
` };
}
function refuseSecondSignature(signatures) {
  const keys = new Set(signatures.map(({ name: name2, keyId }) => `${name2}+${keyId.toString("hex")}`));
  if (keys.size !== signatures.length) throw refusal("a key has signed twice");
}
var refusal = (why) => new CrosslineError("bad_checkpoint", { detail: `Not a signed note: ${why}` });

// src/domain/tlog-policy.ts
var maxLength = 1048576;
var forbidden2 = /[^\t\n\x20-\x7e\u0080-\uffff]/;
function parsePolicy(text) {
  if (text.length > maxLength) throw refusal2("the file is too long");
  if (!text.endsWith("\n")) throw refusal2("the last line has no newline");
  const draft = newDraft();
  text.split("\n").forEach((line, n) => {
    const fault = readLine(draft, line);
    if (fault) throw refusal2(fault, n + 1);
  });
  const { logs, witnesses, groups, quorum } = draft;
  if (quorum === void 0) throw refusal2("there is no quorum line");
  return { logs, witnesses, groups, quorum };
}
function newDraft() {
  const seen = {
    names: /* @__PURE__ */ new Set(["none"]),
    members: /* @__PURE__ */ new Set(),
    logKeys: /* @__PURE__ */ new Set(),
    witnessKeys: /* @__PURE__ */ new Set()
  };
  return { logs: [], witnesses: [], groups: [], quorum: void 0, ...seen };
}
function readLine(draft, line) {
  if (forbidden2.test(line)) return "it holds a control character";
  const [keyword, ...words] = line.split(/[\t ]+/).filter((word2) => word2 !== "");
  if (keyword === void 0 || keyword.startsWith("#")) return void 0;
  if (keyword === "log") return readLog(draft, words);
  if (keyword === "witness") return readWitness(draft, words);
  if (keyword === "group") return readGroup(draft, words);
  if (keyword === "quorum") return readQuorum(draft, words);
  return "it begins with no word that a policy knows";
}
function readLog(draft, [keyText = "", ...more]) {
  if (more.length > 1) return "it has too many words";
  const key = readKey(keyText);
  if (key?.type !== 1) return "it has no Ed25519 verifier key of a log";
  if (!isNew(draft.logKeys, key.publicKey.toString("hex")))
    return "two logs have the same public key, so a new log needs a new key";
  draft.logs.push(key);
  return void 0;
}
function readWitness(draft, [name2 = "", keyText = "", url, ...more]) {
  if (more.length > 0) return "it has too many words";
  const key = readKey(keyText);
  if (key?.type !== 4) return "it has no cosignature/v1 verifier key of a witness";
  if (!isNew(draft.witnessKeys, key.publicKey.toString("hex"))) return "two witnesses have the same public key";
  if (!isNew(draft.names, name2)) return "its name is taken";
  draft.witnesses.push({ name: name2, key, ...url === void 0 ? {} : { url } });
  return void 0;
}
function readGroup(draft, [name2 = "", thresholdText = "", ...members]) {
  if (members.length === 0) return "the group has no members";
  const threshold = readThreshold(thresholdText, members.length);
  if (threshold === void 0 || threshold < 1 || threshold > members.length)
    return "the threshold is not one that the group can have";
  for (const member2 of members) {
    if (member2 === "none" || !draft.names.has(member2)) return "a member is not defined above";
    if (!isNew(draft.members, member2)) return "a member is already in a group";
  }
  if (!isNew(draft.names, name2)) return "its name is taken";
  draft.groups.push({ name: name2, threshold, members });
  return void 0;
}
function readThreshold(text, members) {
  if (text === "any") return 1;
  return text === "all" ? members : parseDecimal(text);
}
function readQuorum(draft, [name2 = "", ...more]) {
  if (more.length > 0) return "it has too many words";
  if (draft.quorum !== void 0) return "there is a quorum already";
  if (!draft.names.has(name2)) return "the quorum is not defined above";
  draft.quorum = name2;
  return void 0;
}
function readKey(text) {
  try {
    return parseVerifierKey(text);
  } catch {
    return void 0;
  }
}
function isNew(seen, value) {
  const before = seen.size;
  return seen.add(value).size > before;
}
function meetsQuorum(policy, witnesses) {
  const known = policy.witnesses.map(({ name: name2 }) => name2);
  const witnessed = /* @__PURE__ */ new Set(["none", ...known.filter((name2) => witnesses.has(name2))]);
  for (const { name: name2, threshold, members } of policy.groups)
    if (members.filter((member2) => witnessed.has(member2)).length >= threshold) witnessed.add(name2);
  return witnessed.has(policy.quorum);
}
function describeQuorum(policy) {
  const parts = new Map([
    ["none", { needed: 0, of: 0 }],
    ...policy.witnesses.map(({ name: name2 }) => [name2, { needed: 1, of: 1 }])
  ]);
  for (const { name: name2, threshold, members } of policy.groups) {
    const inside = members.map((member2) => parts.get(member2) ?? { needed: 0, of: 0 });
    const cheapest = inside.map(({ needed }) => needed).sort((a, b) => a - b);
    parts.set(name2, { needed: sum(cheapest.slice(0, threshold)), of: sum(inside.map((part) => part.of)) });
  }
  return parts.get(policy.quorum) ?? { needed: 0, of: 0 };
}
var sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
var refusal2 = (why, line) => new CrosslineError("bad_policy", {
  detail: line === void 0 ? `The policy is not usable: ${why}` : `The policy is not usable, line ${line}: ${why}`,
  ...line === void 0 ? {} : { facts: { line } }
});

// src/domain/time-bracket.ts
var toleranceMs = 6e4;
var sealingMs = 6e4 + toleranceMs;
var always = { notBefore: "", notAfter: "~" };
var lastMoment = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
var textOf = (ms) => new Date(Math.min(Math.max(ms, 0), lastMoment)).toISOString();
function quorumMoment(policy, witnesses) {
  const signed = /* @__PURE__ */ new Set();
  if (meetsQuorum(policy, signed)) return void 0;
  for (const { name: name2, at } of witnesses.toSorted((one, other2) => one.at.getTime() - other2.at.getTime()))
    if (meetsQuorum(policy, signed.add(name2))) return at;
  return void 0;
}
function createBrackets(last) {
  let notes = noNotes();
  let earlier;
  let later;
  let from = 0;
  let until = 0;
  let bracket = describeBracket(void 0, void 0, void 0);
  const next = () => {
    const { value, done } = notes.next();
    return done ? void 0 : value;
  };
  const move = (index) => {
    while (later && later.size <= index) {
      earlier = later;
      later = next();
    }
    const isHeld = index < last.size;
    bracket = describeBracket(earlier, later ?? (isHeld ? atLast(last) : void 0), isHeld ? last.first : void 0);
    from = earlier?.size ?? 0;
    until = Math.min(later?.size ?? Number.POSITIVE_INFINITY, isHeld ? last.size : Number.POSITIVE_INFINITY);
  };
  const end = () => {
    while (later) later = next();
  };
  return {
    bring: (given) => {
      end();
      notes = given[Symbol.iterator]();
      earlier = void 0;
      later = next();
      from = until = 0;
    },
    around: (index) => {
      if (index >= until) move(index);
      return index < from ? describeBracket(void 0, void 0, void 0) : bracket;
    },
    end
  };
}
function* noNotes() {
}
var atLast = ({ size, moment }) => moment && { size, moment };
function describeBracket(earlier, later, first) {
  const ends = [later?.moment, first].flatMap((moment) => moment?.getTime() ?? []);
  const seconds = earlier && later && Math.max(0, (later.moment.getTime() - earlier.moment.getTime()) / 1e3);
  return {
    notBefore: earlier ? textOf(earlier.moment.getTime() - sealingMs) : always.notBefore,
    notAfter: ends.length > 0 ? textOf(Math.min(...ends) + toleranceMs) : always.notAfter,
    hasEarlier: earlier !== void 0,
    seconds
  };
}

// src/domain/report-verification.ts
var headlines = {
  valid: "VALID: every entry that is here stands in the log as it was sealed, unaltered.",
  tampered: "TAMPERED: this is not what was sealed.",
  incomplete: "INCOMPLETE: what is here was not found to be altered, but it does not prove what it should.",
  unreadable: "UNREADABLE: this can not be verified at all."
};
var maxNotes = 12;
function reportVerification(found, what) {
  const paragraphs = [
    [headlines[found.verdict]],
    describeFaults(found),
    found.logs.map(describeLog),
    describeChecks(found, what),
    ["Not proven:", ...listUnproven(found, what).map((note) => `- ${note}`)]
  ];
  return paragraphs.filter((lines) => lines.length > 0).map((lines) => lines.join("\n")).join("\n\n");
}
function describeFaults({ faults, faultCount }) {
  const [first, ...more] = faults;
  if (!first) return [];
  const others = more.slice(0, maxNotes).map((fault) => `also: ${describeFault(fault)}`);
  const rest = faultCount - 1 - others.length;
  return [`First fault: ${describeFault(first)}`, ...others, ...rest > 0 ? [`and ${rest} more`] : []];
}
function describeFault({ stage, log, index, says }) {
  const place = [log, index === void 0 ? void 0 : `entry ${index}`].filter((part) => part !== void 0).join(", ");
  return `${says} [${[stage, place].filter((part) => part !== "").join("; ")}]`;
}
function describeLog({ origin, size, root, witnesses, witnessed, needed, of, entries }) {
  const names = witnesses.map(({ name: name2, at }) => `${name2} ${at}`).join(", ");
  return [
    `Log ${origin}: ${size} entries under root ${root}`,
    `  checked here: ${entries} entries`,
    `  witnessed ${witnessed} of ${of} (the policy asks for ${needed})${names === "" ? "" : `: ${names}`}`
  ].join("\n");
}
function describeChecks({ counts, complete, since, bundlePolicy, manifest, verdict }, what) {
  const lines = [
    `Checked: ${counts.entries} entries of ${counts.items} items, ${counts.disclosed} disclosed values; ${counts.seen} entries name an earlier checkpoint that was recomputed.`
  ];
  lines.push(describeBrackets(counts));
  if (verdict === "valid") lines.push(`Complete: ${completeWords[complete]}`);
  if (since !== "not asked")
    lines.push(
      `The older checkpoint: ${since === "extended" ? "the log only grew since" : "not proven to be the beginning of this log"}.`
    );
  if (manifest) lines.push(`The ${what} says that it was made by ${manifest.member} at ${manifest.createdAt}.`);
  if (bundlePolicy === "other") lines.push("The policy inside the bundle is another than the one given; the one given decided.");
  return lines;
}
function describeBrackets({ entries, bracketed, widest }) {
  const least = `Dates: ${bracketed} of ${entries} entries stand between two checkpoints that enough witnesses had signed`;
  return widest ? `${least}, at most ${widest.seconds} s apart (${widest.log}, entry ${widest.index}).` : `${least}.`;
}
var completeWords = {
  log: "every entry of the log is here.",
  item: "no entry of the item is left out up to the index that the log states; nothing is claimed of what came after it.",
  country: "no item of the country is left out, and no entry of one, up to the index that the log states.",
  none: "not claimed. Entries may have been left out of the selection."
};
function listUnproven({ counts, complete, since, logs, manifest, verdict }, what) {
  const notes = ["that what the entries state is true: only that it was stated then and not changed since"];
  if (complete === "none") notes.push("that nothing was left out");
  if (counts.gaps + counts.openStarts > 0) notes.push(`${counts.gaps + counts.openStarts} entries whose predecessor is not here`);
  if (counts.seen < counts.entries)
    notes.push(`what ${counts.entries - counts.seen} entries had seen: it is not here, or was the empty log`);
  if (logs.some(({ needed }) => needed === 0))
    notes.push("that anybody but the log itself vouches for it, or for when it was written: the policy asks for no witness");
  else notes.push(...listUndated(counts));
  notes.push(
    `dates closer than ${sealingMs / 1e3} s before and ${toleranceMs / 1e3} s after such checkpoints, and what a database noted beside an entry (recordedAt)`
  );
  if (manifest) notes.push(`what the ${what} says of itself: when it was made, for whom, by which filter`);
  if (since === "not asked" && verdict === "valid")
    notes.push("that the log never showed anybody something else: compare with a checkpoint that you kept (--since)");
  return notes;
}
function listUndated({ noEarlier, unusedNotes }) {
  const notes = [];
  if (noEarlier > 0)
    notes.push(
      `that ${noEarlier} entries were not dated back: no earlier checkpoint is here, as at the start of a log, or it was held back`
    );
  if (unusedNotes > 0)
    notes.push(
      `anything by ${unusedNotes} checkpoints beside the entries: too few witnesses signed, or a key that the policy does not name`
    );
  return notes;
}

// src/domain/verdict.ts
var stages = ["read", "quorum", "signature", "root", "inclusion", "consistency", "chain", "disclosure", "time"];
var exitCodes = { valid: 0, tampered: 1, incomplete: 2, unreadable: 3 };
var weight = ["unreadable", "tampered", "incomplete"];
var keptOfEach = 3;
function collectFaults() {
  const kept = /* @__PURE__ */ new Map();
  let count2 = 0;
  const list = () => weight.flatMap((kind) => stages.flatMap((stage) => kept.get(`${kind} ${stage}`) ?? []));
  return {
    get count() {
      return count2;
    },
    add: (fault) => {
      count2++;
      const name2 = `${fault.kind} ${fault.stage}`;
      const alike = kept.get(name2) ?? [];
      kept.set(name2, alike);
      if (alike.length < keptOfEach) alike.push(fault);
    },
    list,
    verdict: () => list()[0]?.kind ?? "valid"
  };
}

// src/steps/verify-bundle.ts
import { randomInt } from "node:crypto";

// src/domain/item-heads.ts
var unset = 0;
var met = 1;
var other = 2;
function createItemHeads(seed) {
  let capacity = 1024;
  let size = 0;
  let slots = new Int32Array(capacity * 2).fill(-1);
  let refs = Buffer.alloc(capacity * 32);
  let leaves = Buffer.alloc(capacity * 32);
  let lasts = Buffer.alloc(capacity * 32);
  let ns = new Float64Array(capacity);
  let wanted = new Float64Array(capacity);
  let states = new Uint8Array(capacity);
  const scratch3 = Buffer.alloc(32);
  const place = (ref, from) => {
    const mixed = Math.imul(ref.readInt32LE(from) ^ seed, seed) ^ Math.imul(ref.readInt32LE(from + 4) ^ seed >>> 7, 2246822507);
    return (mixed ^ mixed >>> 15) >>> 0;
  };
  const slotOf = (ref) => {
    const mask = slots.length - 1;
    for (let at = place(ref, 0) & mask; ; at = at + 1 & mask) {
      const slot = slots[at];
      if (slot < 0) return add(ref, at);
      if (refs.compare(ref, 0, 32, slot * 32, slot * 32 + 32) === 0) return slot;
    }
  };
  const add = (ref, at) => {
    if (size === capacity) {
      grow();
      return slotOf(ref);
    }
    refs.set(ref, size * 32);
    slots[at] = size;
    return size++;
  };
  const grow = () => {
    capacity *= 2;
    refs = doubled(refs);
    leaves = doubled(leaves);
    lasts = doubled(lasts);
    ns = doubledNumbers(ns);
    wanted = doubledNumbers(wanted);
    states = Buffer.concat([states, new Uint8Array(states.length)]);
    slots = new Int32Array(capacity * 2).fill(-1);
    const mask = slots.length - 1;
    for (let slot = 0; slot < size; slot++) {
      let at = place(refs, slot * 32) & mask;
      while (slots[at] >= 0) at = at + 1 & mask;
      slots[at] = slot;
    }
  };
  const advance = ({ ref, n, prev, leaf }) => {
    scratch3.write(ref, 0, 32, "base64url");
    const slot = slotOf(scratch3);
    const before = ns[slot];
    const following = follow(slot, { n, before, prev });
    ns[slot] = n;
    leaves.set(leaf, slot * 32);
    if (n === wanted[slot]) states[slot] = lasts.compare(leaf, 0, 32, slot * 32, slot * 32 + 32) === 0 ? met : other;
    return following;
  };
  const follow = (slot, { n, before, prev }) => {
    if (before === 0) return n === 1 ? "begins" : "begins_late";
    if (n <= before) return "contradicts";
    if (n > before + 1) return "skips";
    scratch3.write(prev ?? "", 0, 32, "base64url");
    return leaves.compare(scratch3, 0, 32, slot * 32, slot * 32 + 32) === 0 ? "follows" : "contradicts";
  };
  const countStates = () => {
    const found = { missing: 0, other: 0 };
    for (let slot = 0; slot < size; slot++) {
      if (wanted[slot] === 0 || states[slot] === met) continue;
      if (states[slot] === unset) found.missing++;
      else found.other++;
    }
    return found;
  };
  return {
    get size() {
      return size;
    },
    advance,
    expect: ({ ref, n, last }) => {
      const slot = slotOf(ref);
      if (wanted[slot] !== 0) return false;
      wanted[slot] = n;
      lasts.set(last, slot * 32);
      return true;
    },
    unmet: countStates
  };
}
var doubled = (bytes2) => Buffer.concat([bytes2, Buffer.alloc(bytes2.length)]);
function doubledNumbers(numbers) {
  const grown = new Float64Array(numbers.length * 2);
  grown.set(numbers);
  return grown;
}

// src/domain/log-check.ts
import { hash as hash3 } from "node:crypto";

// src/domain/entry-text.ts
var digest = "[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]";
var member = "[a-z0-9-]{2,40}";
var count = "(?:0|[1-9][0-9]{0,15})";
var uuid = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
var timePattern = "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\\.[0-9]{3}Z";
var field = `"[a-z]{2,20}":"${digest}"`;
var form = [
  `{"actor":"(${digest})","at":"(${timePattern})","event":"([a-z_]{1,40}(?:\\.[a-z_]{1,40}){1,3})"(?:,"from":"${member}")?,"id":"${uuid}"`,
  `,"log":"(${member}/audit/[0-9]{4})","n":([1-9][0-9]{0,15}),"payload":{((?:${field}(?:,${field})*)?)}(?:,"peer":"${digest}")?`,
  `(?:,"prev":"(${digest})")?,"ref":"(${digest})","seen":{"root":"(${digest})","size":(${count})}(?:,"to":"${member}")?,"v":1}`
].join("");
var plain = new RegExp(form, "y");
var quoted = new RegExp(form.replaceAll('"', '\\\\"'), "y");
function matchEntry(text, at, isQuoted) {
  const pattern = isQuoted ? quoted : plain;
  pattern.lastIndex = at;
  const found = pattern.exec(text);
  if (!found) return void 0;
  const entry = readGroups(found);
  const { n, seenSize, prev } = entry;
  const isReal = Number.isSafeInteger(n) && Number.isSafeInteger(seenSize) && n === 1 === (prev === void 0);
  return isReal && isSorted(entry.payload) ? { entry, end: pattern.lastIndex } : void 0;
}
function commitmentOf(entry, name2) {
  if (name2 === "actor") return entry.actor;
  const quote2 = entry.payload.startsWith("\\") ? '\\"' : '"';
  const member2 = `${quote2}${name2}${quote2}:${quote2}`;
  const at = entry.payload.indexOf(member2);
  return at < 0 ? void 0 : entry.payload.slice(at + member2.length, at + member2.length + 43);
}
function readGroups(found) {
  const [, actor = "", at = "", event = "", log = "", n, payload = "", prev, ref = "", seenRoot = "", seenSize] = found;
  return { actor, at, event, log, n: Number(n), payload, prev, ref, seenRoot, seenSize: Number(seenSize) };
}
function isSorted(payload) {
  const quote2 = payload.startsWith("\\") ? 2 : 1;
  let before = "";
  for (let at = quote2; at < payload.length; ) {
    const end = payload.indexOf(quote2 === 2 ? "\\" : '"', at);
    const name2 = payload.slice(at, end);
    if (name2 <= before) return false;
    before = name2;
    at = end + 4 * quote2 + 43 + 2;
  }
  return true;
}

// src/domain/merkle.ts
import { hash as hash2 } from "node:crypto";
var hashBytes = 32;
var leafScratch = Buffer.alloc(1 + 65536);
var nodeScratch = Buffer.alloc(1 + 2 * hashBytes, 1);
function leafHash(bytes2) {
  if (bytes2.length >= leafScratch.length) return hash2("sha256", Buffer.concat([Buffer.of(0), bytes2]), "buffer");
  leafScratch.set(bytes2, 1);
  return hash2("sha256", leafScratch.subarray(0, bytes2.length + 1), "buffer");
}
function nodeHash(left, right) {
  nodeScratch.set(left, 1);
  nodeScratch.set(right, 1 + hashBytes);
  return hash2("sha256", nodeScratch, "buffer");
}
function merkleRoot(leaves) {
  let level = leaves;
  while (level.length > 1) level = levelAbove(level);
  return level[0] ?? hash2("sha256", "", "buffer");
}
function levelAbove(level) {
  const above = [];
  for (let at = 0; at < level.length; at += 2) {
    const left = level[at];
    const right = level[at + 1];
    above.push(right ? nodeHash(left, right) : left);
  }
  return above;
}
function rootFromInclusion({ leaf, index, size, path }) {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size)
    throw refusal3("the index is not in the tree");
  if (leaf.length !== hashBytes || path.some((node2) => node2.length !== hashBytes)) throw refusal3("a hash has not 32 bytes");
  let node = Buffer.from(leaf);
  let at = index;
  let last = size - 1;
  const up = () => {
    at = Math.floor(at / 2);
    last = Math.floor(last / 2);
  };
  for (const sibling of path) {
    if (last === 0) throw refusal3("the path is too long");
    while (at === last && at % 2 === 0) up();
    node = at % 2 === 1 ? nodeHash(sibling, node) : nodeHash(node, sibling);
    up();
  }
  if (last !== 0) throw refusal3("the path is too short");
  return node;
}
var refusal3 = (why) => new CrosslineError("bad_evidence", { detail: `Inclusion does not verify: ${why}` });

// src/domain/tiles.ts
var tileWidth = 256;
var hashBytes2 = 32;
var maxTileLevel = 6;
var tilePathForm = /^tile\/([0-6])\/((?:x[0-9]{3}\/){0,5}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/;
function tilePath({ level, index, width: width3 }) {
  const digits = `${index}`.padStart(Math.ceil(`${index}`.length / 3) * 3, "0");
  const groups = digits.replace(/[0-9]{3}(?=[0-9])/g, "x$&/");
  return `tile/${level}/${groups}${width3 < tileWidth ? `.p/${width3}` : ""}`;
}
function parseTilePath(path) {
  const [, level, groups, width3] = tilePathForm.exec(path) ?? [];
  const tile = { level: Number(level), index: Number(groups?.replaceAll(/[x/]/g, "")), width: Number(width3 ?? tileWidth) };
  const isReal = groups !== void 0 && tilePath(tile) === path && leavesUpTo(tile) <= Number.MAX_SAFE_INTEGER;
  if (!isReal) throw new CrosslineError("not_found");
  return tile;
}
var leavesUpTo = ({ level, index, width: width3 }) => (index * tileWidth + width3) * tileWidth ** level;
function edgeNodes(size) {
  return fullSubtrees({ begin: 0, end: size });
}
function largestPower(number) {
  let power = 1;
  while (power * 2 <= number) power *= 2;
  return power;
}
function fullSubtrees({ begin, end }) {
  const nodes = [];
  for (let at = begin; at < end; ) {
    const power = largestPower(end - at);
    nodes.push({ level: Math.round(Math.log2(power)), index: at / power });
    at += power;
  }
  return nodes;
}
function edgeTiles(size) {
  const tiles = [];
  for (let level = 0; level <= maxTileLevel; level++) {
    const hashes = hashesAt(level, size);
    const width3 = hashes % tileWidth;
    if (width3 > 0) tiles.push({ level, index: Math.floor(hashes / tileWidth), width: width3 });
  }
  return tiles;
}
var hashesAt = (level, size) => Math.floor(size / tileWidth ** level);
function spanOf(node) {
  const level = Math.floor(node.level / 8);
  const count2 = 2 ** (node.level % 8);
  const at = node.index * count2;
  return { tile: { level, index: Math.floor(at / tileWidth) }, from: at % tileWidth, count: count2 };
}
function nodeFromTiles(node, hashesOf) {
  const { tile, from, count: count2 } = spanOf(node);
  const run = hashesOf(tile).subarray(from * hashBytes2, (from + count2) * hashBytes2);
  if (run.length !== count2 * hashBytes2) throw refusal4("a tile lacks hashes");
  return merkleRoot(splitHashes(run));
}
function splitHashes(bytes2) {
  return Array.from({ length: bytes2.length / hashBytes2 }, (_, n) => bytes2.subarray(n * hashBytes2, (n + 1) * hashBytes2));
}
var refusal4 = (why) => new CrosslineError("bad_evidence", { detail: `No proof: ${why}` });

// src/domain/verified-tiles.ts
var TileError = class extends Error {
  fault;
  constructor(fault) {
    super(fault.kind);
    this.fault = fault;
  }
};
var maxHeld = 2048;
var width = 256;
function openTree({ size, root }, read) {
  const held = /* @__PURE__ */ new Map();
  const edge = /* @__PURE__ */ new Map();
  let rootFault = null;
  const hashesOf = (place) => {
    const name2 = place.index * 8 + place.level;
    const known = held.get(name2);
    if (known) return known;
    const hashes = readVerified(place);
    if (held.size >= maxHeld) held.delete(held.keys().next().value);
    held.set(name2, hashes);
    return hashes;
  };
  const readVerified = (place) => {
    const tile = sized(place, size);
    const hashes = readTile2(tile);
    if (tile.width === width && !rootOf(hashes).equals(parentHash(tile))) throw new TileError({ kind: "foreign", tile });
    return hashes;
  };
  const parentHash = ({ level, index }) => {
    const at = index % width * 32;
    return hashesOf({ level: level + 1, index: Math.floor(index / width) }).subarray(at, at + 32);
  };
  const readTile2 = (tile) => {
    const hashes = edge.get(tile.level)?.index === tile.index ? edge.get(tile.level)?.hashes : read(tile);
    if (!hashes) throw new TileError({ kind: "missing", tile });
    if (hashes.length !== tile.width * 32) throw new TileError({ kind: "foreign", tile });
    return hashes;
  };
  const checkRoot = () => {
    if (rootFault === null) rootFault = attempt5(() => verifyRoot()) ?? void 0;
    return rootFault;
  };
  const verifyRoot = () => {
    for (const tile of edgeTiles(size)) edge.set(tile.level, { index: tile.index, hashes: readTile2(tile) });
    const hashes = edgeNodes(size).map((node) => nodeFromTiles(node, ({ level }) => edge.get(level)?.hashes));
    if (!joined(hashes).equals(root))
      throw new TileError({ kind: "foreign", tile: edgeTiles(size).at(-1) ?? { level: 0, index: 0, width: 0 } });
  };
  const attempt5 = (look) => {
    try {
      return look();
    } catch (error) {
      if (error instanceof TileError) return error.fault;
      throw error;
    }
  };
  return {
    size,
    checkRoot,
    leaves: (index) => checkRoot() ?? attempt5(() => hashesOf({ level: 0, index })),
    hasTile: ({ level, index, width: claimed }) => widthIn({ level, index }, size) === claimed,
    checkTile: (tile) => checkRoot() ?? attempt5(() => void hashesOf(tile)),
    rootAt: (past) => checkRoot() ?? (past === size ? root : attempt5(() => joined(edgeNodes(past).map((node) => nodeFromTiles(node, hashesOf)))))
  };
}
var isFault = (answer) => answer !== void 0 && "kind" in answer;
var rootOf = (hashes) => merkleRoot(Array.from({ length: hashes.length / 32 }, (_, n) => hashes.subarray(n * 32, n * 32 + 32)));
var joined = (hashes) => hashes.length === 0 ? merkleRoot([]) : hashes.reduceRight((right, left) => nodeHash(left, right));
var sized = ({ level, index }, size) => ({ level, index, width: widthIn({ level, index }, size) });
var widthIn = ({ level, index }, size) => Math.min(width, Math.floor(size / width ** level) - index * width);

// src/domain/log-check.ts
var newCounts = () => ({
  entries: 0,
  disclosed: 0,
  seen: 0,
  openStarts: 0,
  gaps: 0,
  bracketed: 0,
  widest: null,
  noEarlier: 0,
  unusedNotes: 0
});
var emptyRoot = hash3("sha256", "", "base64url");
var width2 = 256;
var maxKnownRoots = 4096;
function createLogCheck(options) {
  const { log, tree, heads, faults, counts } = options;
  const rootAt = knownRoots(tree);
  let next = 0;
  let entries = 0;
  let isWhole = options.complete === "log";
  let tileIndex = -1;
  let leaves = Buffer.alloc(0);
  const add = (fault) => faults.add({ ...fault, log });
  const checkLeaf = (index, leaf) => {
    if (Math.floor(index / width2) !== tileIndex && !openTile(index)) return;
    const at = index % width2 * 32;
    if (leaf.compare(leaves, at, at + 32) !== 0)
      add({
        stage: "inclusion",
        kind: "tampered",
        index,
        says: "The entry is not the one that was sealed at this place: it was altered, exchanged or inserted."
      });
  };
  const openTile = (index) => {
    const found = tree.leaves(Math.floor(index / width2));
    if (isFault(found)) {
      add(tileFault(found.kind, index));
      return false;
    }
    tileIndex = Math.floor(index / width2);
    leaves = found;
    return true;
  };
  const checkPlace = (index) => {
    const isNext = options.complete === "log" ? index === next : index >= next;
    if (index >= tree.size)
      add({
        stage: "inclusion",
        kind: "tampered",
        index,
        says: "The entry says that it stands outside the tree of the checkpoint."
      });
    else if (index < next)
      add({ stage: "inclusion", kind: "tampered", index, says: "The entries do not come in the order of their places." });
    else if (!isNext) add({ stage: "inclusion", kind: "incomplete", index: next, says: "The entry at this place is missing." });
    if (!isNext) isWhole = false;
    return index < tree.size;
  };
  const checkChain = (index, entry2, leaf) => {
    const following = heads.advance({ ref: entry2.ref, n: entry2.n, prev: entry2.prev, leaf });
    if (following === "follows" || following === "begins") return;
    if (following === "contradicts")
      add({
        stage: "chain",
        kind: "tampered",
        index,
        says: "The entry does not follow on the entry before it of the same item (n, prev)."
      });
    else if (following === "skips") checkGap(index);
    else checkStart(index);
  };
  const checkGap = (index) => {
    counts.gaps++;
    if (isWhole)
      add({
        stage: "chain",
        kind: "tampered",
        index,
        says: "The log itself leaves out an entry of the item before this one (n)."
      });
    if (options.complete === "items")
      add({ stage: "chain", kind: "incomplete", index, says: "An entry of the item is missing before this one (n)." });
  };
  const checkStart = (index) => {
    counts.openStarts++;
    if (options.complete === "items")
      add({ stage: "chain", kind: "incomplete", index, says: "The first entries of the item are missing before this one (n)." });
  };
  const checkSeen = (index, { seenSize, seenRoot }) => {
    if (seenSize === 0 && seenRoot === emptyRoot) return;
    const known = seenSize > 0 && seenSize <= index ? rootAt(seenSize) : void 0;
    if (known === seenRoot) counts.seen++;
    else if (known !== void 0 || seenSize > index || seenSize === 0)
      add({
        stage: "time",
        kind: "tampered",
        index,
        says: "The entry claims to have seen a checkpoint that the log did not have when it was written: it was dated back or moved."
      });
  };
  const checkTime = (index, { at }) => {
    const bracket = options.around(index);
    countBracket(index, bracket);
    if (at < bracket.notBefore)
      add({
        stage: "time",
        kind: "tampered",
        index,
        says: "The entry is dated before the moment when witnesses had cosigned the log without it: it was dated back."
      });
    else if (at > bracket.notAfter)
      add({
        stage: "time",
        kind: "tampered",
        index,
        says: "The entry is dated after the moment when witnesses had already cosigned it."
      });
  };
  const countBracket = (index, { hasEarlier, seconds }) => {
    if (!hasEarlier) counts.noEarlier++;
    if (seconds === void 0) return;
    counts.bracketed++;
    if (!counts.widest || seconds > counts.widest.seconds) counts.widest = { seconds, log, index };
  };
  const entry = (index, entry2, leaf) => {
    entries++;
    counts.entries++;
    if (checkPlace(index)) checkLeaf(index, leaf);
    next = Math.max(next, index + 1);
    if (entry2.log !== log) add({ stage: "inclusion", kind: "tampered", index, says: "The entry belongs to another log." });
    checkChain(index, entry2, leaf);
    checkSeen(index, entry2);
    checkTime(index, entry2);
  };
  const disclosure = (index, entry2, opened) => {
    counts.disclosed++;
    if (commitmentOf(entry2, opened.name) !== openCommitment(opened.salt, opened.value))
      add({ stage: "disclosure", kind: "tampered", index, says: "A disclosed value is not the one that the entry commits to." });
  };
  return {
    entry,
    disclosure,
    get entries() {
      return entries;
    },
    get next() {
      return next;
    }
  };
}
function tileFault(kind, index) {
  const place = index === void 0 ? {} : { index };
  return kind === "missing" ? {
    stage: "root",
    kind: "incomplete",
    ...place,
    says: "Hashes that lead from the entries to the root of the checkpoint are missing."
  } : {
    stage: "root",
    kind: "tampered",
    ...place,
    says: "The hashes of the tree do not lead to the root that the checkpoint signs."
  };
}
function knownRoots(tree) {
  const known = /* @__PURE__ */ new Map();
  return (size) => {
    if (size > tree.size) return void 0;
    if (known.has(size)) return known.get(size);
    const root = tree.rootAt(size);
    const text = isFault(root) ? void 0 : root.toString("base64url");
    if (known.size >= maxKnownRoots) known.clear();
    known.set(size, text);
    return text;
  };
}
var scratch = Buffer.alloc(4096);
function openCommitment(salt, value) {
  const most = 32 + value.length * 3;
  if (scratch.length < most) scratch = Buffer.alloc(most);
  scratch.write(salt, 0, 32, "base64url");
  return hash3("sha256", scratch.subarray(0, 32 + scratch.write(value, 32)), "base64url");
}

// src/steps/check-members.ts
import { createHash } from "node:crypto";

// src/domain/bundle-manifest.ts
import { hash as hash4 } from "node:crypto";

// src/domain/exact-forms.ts
var matches = (pattern) => (value) => typeof value === "string" && pattern.test(value);
var isMemberId = matches(/^[a-z0-9-]{2,40}$/);
var isUuidV7 = matches(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
var isDigest = matches(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/);
var isTokenId = matches(/^[A-Za-z0-9_-]{22}$/);
var isDirectoryView = matches(/^(?:0|[1-9][0-9]{0,14}):[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/);
var isCount = (value) => Number.isSafeInteger(value) && value >= 0;
var isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
var orNull = (check) => (value) => value === null || check(value);
function findFormFault(value, form3) {
  if (!isObject(value)) return "It is not an object";
  for (const [name2, check] of Object.entries(form3.required)) {
    if (!Object.hasOwn(value, name2)) return `The member ${name2} is missing`;
    if (!check(value[name2])) return `The member ${name2} has the wrong form`;
  }
  return findOptionalFault(value, form3);
}
function findOptionalFault(value, { required, optional = {} }) {
  for (const name2 of Object.keys(value)) {
    if (Object.hasOwn(required, name2)) continue;
    if (!Object.hasOwn(optional, name2)) return "It has a member that is not known";
    if (!optional[name2]?.(value[name2])) return `The member ${name2} has the wrong form`;
  }
  return void 0;
}

// src/domain/jcs-text.ts
var maxDepth = 32;
var integer = /-?(?:0|[1-9][0-9]{0,15})/y;
var word = /true|false|null/y;
var string = /"(?:[^"\\\u0000-\u001f]|\\["\\bfnrt]|\\u00(?:0[1-7be-f]|1[0-9a-f]))*"/y;
var name = /"([^"\\\u0000-\u001f]*)"/y;
function skipJcs(text, at, depth = 0) {
  const first = text[at];
  if (first === '"') return skip(string, text, at);
  if (first === "{") return skipObject(text, at, depth + 1);
  if (first === "[") return skipArray(text, at, depth + 1);
  return first === "t" || first === "f" || first === "n" ? skip(word, text, at) : skipInteger(text, at);
}
function skipInteger(text, at) {
  const end = skip(integer, text, at);
  const spelled = text.slice(at, end);
  if (spelled === "-0" || !Number.isSafeInteger(Number(spelled))) throw refusal5();
  return end;
}
function skipArray(text, start, depth) {
  refuseDepth(depth);
  if (text[start + 1] === "]") return start + 2;
  let at = start;
  do
    at = skipJcs(text, at + 1, depth);
  while (text[at] === ",");
  return expect(text, at, "]");
}
function skipObject(text, start, depth) {
  refuseDepth(depth);
  if (text[start + 1] === "}") return start + 2;
  let at = start;
  let before;
  do {
    const end = skip(name, text, at + 1);
    const member2 = text.slice(at + 2, end - 1);
    if (before !== void 0 && member2 <= before) throw refusal5();
    before = member2;
    at = skipJcs(text, expect(text, end, ":"), depth);
  } while (text[at] === ",");
  return expect(text, at, "}");
}
function skip(pattern, text, at) {
  pattern.lastIndex = at;
  if (!pattern.test(text)) throw refusal5();
  return pattern.lastIndex;
}
function expect(text, at, character) {
  if (text[at] !== character) throw refusal5();
  return at + 1;
}
function refuseDepth(depth) {
  if (depth > maxDepth) throw refusal5();
}
var refusal5 = () => new CrosslineError("malformed_request", { detail: "The text is not canonical JSON" });

// src/domain/strict-json.ts
var maxDepth2 = 32;
var utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
var quote = 34;
var backslash = 92;
var unicodeEscape = /\\u/;
var misreadable = /["\\]/;
function parseStrictJson(input) {
  const text = typeof input === "string" ? checkUnicode(input) : decodeUtf8(input);
  const value = parseText(text);
  const names = countNames(text);
  const suspicious = unicodeEscape.test(text);
  if (countMembers(value, suspicious) !== names) throw refusal6("a member name appears twice in one object");
  return value;
}
function parseStrictObject(input) {
  const value = parseStrictJson(input);
  if (!isObject(value)) throw refusal6("it is not an object");
  return value;
}
function checkUnicode(text) {
  if (!text.isWellFormed()) throw refusal6("a string holds a lone surrogate");
  return text;
}
function decodeUtf8(bytes2) {
  try {
    return utf8.decode(bytes2);
  } catch {
    throw refusal6("it is not UTF-8");
  }
}
function parseText(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw refusal6("it is not JSON, or it begins with a byte order mark");
  }
}
function countNames(text) {
  let names = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case quote:
        at = endOfString(text, at);
        break;
      case 58:
        names++;
        break;
      case 123:
      // {
      case 91:
        if (++depth > maxDepth2) throw refusal6("it is nested too deeply");
        break;
      case 125:
      // }
      case 93:
        depth--;
        break;
      case 46:
      // .
      case 69:
        throw refusal6("a number is not a plain integer");
      case 101:
        if (isDigitAt(text, at - 1)) throw refusal6("a number is not a plain integer");
        break;
      case 45:
        if (text.charCodeAt(at + 1) === 48) throw refusal6("a number is not a plain integer");
        break;
    }
  }
  return names;
}
function endOfString(text, start) {
  let end = text.indexOf('"', start + 1);
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end;
}
function isEscaped(text, at) {
  let run = 0;
  while (text.charCodeAt(at - 1 - run) === backslash) run++;
  return run % 2 === 1;
}
var isDigitAt = (text, at) => {
  const code = text.charCodeAt(at);
  return code >= 48 && code <= 57;
};
function countMembers(value, checkStrings) {
  if (typeof value === "string") {
    if (checkStrings) checkString(value);
    return 0;
  }
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw refusal6("a number is not an integer below 2^53");
  if (typeof value !== "object" || value === null) return 0;
  return Array.isArray(value) ? countInArray(value, checkStrings) : countInObject(value, checkStrings);
}
function countInArray(values, checkStrings) {
  let names = 0;
  for (const value of values) names += countMembers(value, checkStrings);
  return names;
}
function countInObject(value, checkStrings) {
  let names = 0;
  for (const name2 of Object.keys(value)) {
    if (misreadable.test(name2)) throw refusal6("a member name holds a quotation mark or a backslash");
    if (checkStrings) checkString(name2);
    names += 1 + countMembers(value[name2], checkStrings);
  }
  return names;
}
function checkString(text) {
  if (text.includes("\0")) throw refusal6("a string holds U+0000");
  if (!text.isWellFormed()) throw refusal6("a string holds a lone surrogate");
}
var refusal6 = (why) => new CrosslineError("malformed_request", { detail: `The JSON cannot be used: ${why}` });

// src/domain/bundle-manifest.ts
var bundleKind = "crossline-audit-bundle";
var manifestName = "manifest.json";
var time = new RegExp(`^${timePattern}$`);
var isText = (value) => typeof value === "string";
var memberForm = { required: { name: isText, bytes: isCount, sha256: isDigest } };
var form2 = {
  required: {
    v: (value) => value === 1,
    kind: (value) => value === bundleKind,
    member: isMemberId,
    createdAt: (value) => isText(value) && time.test(value),
    filter: () => true,
    scope: () => true,
    complete: (value) => isText(value) && ["item", "country", "log", "none"].includes(value),
    entries: isCount,
    members: (value) => Array.isArray(value) && value.every((each) => isObject(each) && !findFormFault(each, memberForm))
  },
  optional: { digest: isDigest }
};
var digestMember = /^(\{"complete":"[a-z]+","createdAt":"[^"]*"),"digest":"([^"]*)"/;
function parseManifest(bytes2) {
  const text = bytes2.toString("utf8").replace(/\n$/, "");
  const value = attempt(() => skipJcs(text, 0) === text.length ? parseStrictObject(bytes2) : void 0);
  if (value === void 0 || findFormFault(value, form2)) throw refusal7("does not have its form");
  if (value.digest !== void 0 && ownDigest(text) !== value.digest)
    throw refusal7("was changed: it is not what its own digest says");
  return value;
}
function ownDigest(text) {
  return hash4("sha256", text.replace(digestMember, "$1"), "base64url");
}
function attempt(look) {
  try {
    return look();
  } catch {
    return void 0;
  }
}
var refusal7 = (why) => new CrosslineError("broken_file", { detail: `The manifest of the bundle ${why}.` });

// src/domain/tar-header.ts
var tarBlock = 512;
var zeros = (bytes2) => bytes2.every((byte) => byte === 0);
var namePattern = /^([A-Za-z0-9._/-]{1,100})\0*$/;
var number7 = /^[0-7]{6}(?: \0|\0 )$|^[0-7]{7}[\0 ]$/;
var number11 = /^[0-7]{11}[\0 ]$/;
var freeFields = [100, 108, 116, 329, 337];
function parseTarHeader(block) {
  if (zeros(block)) return void 0;
  const text = block.toString("latin1");
  const field2 = (at, length) => text.slice(at, at + length);
  const name2 = namePattern.exec(field2(0, 100))?.[1];
  if (name2 === void 0) throw refusal8("the name of a file");
  if (!number7.test(field2(148, 8)) || Number.parseInt(field2(148, 7), 8) !== checksum(block)) throw refusal8("a checksum");
  if (field2(257, 8) !== "ustar\x0000" || field2(156, 1) !== "0") throw refusal8("the kind of a file");
  if (!number11.test(field2(124, 12)) || !number11.test(field2(136, 12))) throw refusal8("a size or a time");
  if (freeFields.some((at) => !number7.test(field2(at, 8)))) throw refusal8("a number");
  if (![block.subarray(157, 257), block.subarray(265, 329), block.subarray(345)].every(zeros)) throw refusal8("an unused field");
  return { name: name2, size: Number.parseInt(field2(124, 11), 8) };
}
function checksum(block) {
  let sum2 = 8 * 32;
  for (let at = 0; at < tarBlock; at++) if (at < 148 || at >= 156) sum2 += block[at];
  return sum2;
}
var refusal8 = (what) => new CrosslineError("broken_file", { detail: `Not a bundle: ${what} in its headers is not in the form of one` });

// src/steps/read-bundle.ts
var nameForm = /^(?:policy\.txt|manifest\.json|[0-9]{4}\/(?:checkpoint|index\.ndjson|tile\/[0-9x/]{5,30}(?:\.p\/[0-9]{1,3})?|entries\/[0-9]{6}\.(?:ndjson|csv)|brackets\/[0-9]{6}\.ndjson))$/;
var maxMembers = 5e6;
function openBundle(source) {
  const members = /* @__PURE__ */ new Map();
  for (let at = 0; ; ) {
    if (at + tarBlock > source.size) return { source, members, isCut: true };
    const header2 = parseTarHeader(source.read(at, tarBlock));
    if (!header2) return { source, members, isCut: !endsHere(source, at) };
    const place = { ...header2, position: at + tarBlock };
    at = place.position + Math.ceil(place.size / tarBlock) * tarBlock;
    if (at > source.size) return { source, members, isCut: true };
    takeName(members, place);
    refusePadding(source.read(place.position + place.size, at - place.position - place.size));
  }
}
function readMember({ source }, { position, size }, most) {
  if (size > most) throw refusal9("a file in it is larger than such a file can be");
  return source.read(position, size);
}
var pieceBytes = 1 << 20;
function* readPieces({ source }, { position, size }) {
  for (let at = 0; at < size; at += pieceBytes) yield source.read(position + at, Math.min(pieceBytes, size - at));
}
function takeName(members, place) {
  if (!nameForm.test(place.name)) throw refusal9("a file in it is none of a bundle");
  if (members.has(place.name)) throw refusal9("a file is in it twice");
  if (members.size >= maxMembers) throw refusal9("it has too many files");
  members.set(place.name, place);
}
function endsHere(source, at) {
  const rest = source.size - at;
  if (rest > 2 * tarBlock) throw refusal9("something comes after its end");
  const end = source.read(at, rest);
  if (end.some((byte) => byte !== 0)) throw refusal9("something comes after its end");
  return end.length === 2 * tarBlock;
}
function refusePadding(padding) {
  if (padding.some((byte) => byte !== 0)) throw refusal9("something stands where nothing may stand");
}
var refusal9 = (why) => new CrosslineError("broken_file", { detail: `Not a bundle: ${why}.` });

// src/steps/check-members.ts
var maxSmallMember = 1 << 20;
var maxManifest = 1 << 30;
function readManifest(bundle, faults) {
  const place = bundle.members.get(manifestName);
  if (!place || bundle.isCut)
    faults.add({ stage: "read", kind: "incomplete", says: "The bundle is cut off: its end is missing." });
  if (!place) return void 0;
  if ([...bundle.members.keys()].at(-1) !== manifestName)
    faults.add({ stage: "read", kind: "tampered", says: "Something was put into the bundle behind its manifest." });
  return parseManifest(readMember(bundle, place, maxManifest));
}
function checkMembers(bundle, manifest, { faults, onBytes }) {
  const digests = /* @__PURE__ */ new Map();
  if (!manifest) return digests;
  const add = (kind, says) => faults.add({ stage: "read", kind, says });
  const listed = new Map(manifest.members.map((member2) => [member2.name, member2]));
  for (const place of bundle.members.values()) {
    if (place.name === manifestName) continue;
    const claim = listed.get(place.name);
    listed.delete(place.name);
    if (!claim) add("tampered", "The bundle holds a file that its manifest does not name.");
    else if (claim.bytes !== place.size) add("tampered", "A file of the bundle has not the length that the manifest says.");
    else if (isEntries(place)) digests.set(place.name, claim.sha256);
    else checkDigest(digestOf(bundle, place, onBytes), claim.sha256, faults);
  }
  if (listed.size > 0) add("incomplete", "A file that the manifest names is not in the bundle.");
  return digests;
}
var isEntries = ({ name: name2 }) => /^[0-9]{4}\/entries\/[0-9]{6}\.ndjson$/.test(name2);
function checkDigest(digest2, claimed, faults) {
  if (digest2 !== claimed)
    faults.add({ stage: "read", kind: "tampered", says: "A file of the bundle was changed: it is not what the manifest says." });
}
function comparePolicy(bundle, policy) {
  const place = bundle.members.get("policy.txt");
  if (!place) return "absent";
  return readMember(bundle, place, maxSmallMember).equals(policy) ? "same" : "other";
}
function digestOf(bundle, place, onBytes) {
  const digest2 = createHash("sha256");
  for (const piece of readPieces(bundle, place)) {
    digest2.update(piece);
    onBytes(piece.length);
  }
  return digest2.digest("base64url");
}

// src/crypto/checkpoint-note.ts
import { createPublicKey, sign, verify } from "node:crypto";

// src/domain/checkpoint.ts
function parseCheckpoint(text) {
  const [origin = "", sizeText = "", rootText = "", rest, ...more] = text.split("\n");
  if (rest !== "" || more.length > 0) throw refusal10("it has not exactly three lines");
  const size = parseDecimal(sizeText);
  const root = parseHash(rootText);
  if (size === void 0) throw refusal10("the size is not a number from 0 to 2^53 - 1");
  if (!root) throw refusal10("the root is not a hash");
  const checkpoint = { origin, size, root };
  refuseImpossible(checkpoint);
  return checkpoint;
}
function refuseImpossible({ origin, size, root }) {
  checkKeyName(origin);
  if (!Number.isSafeInteger(size) || size < 0) throw refusal10("the size is not a number from 0 to 2^53 - 1");
  if (root.length !== 32) throw refusal10("the root is not a hash");
  if (size === 0 && !root.equals(merkleRoot([]))) throw refusal10("the empty tree has another root");
}
var refusal10 = (why) => new CrosslineError("bad_checkpoint", { detail: `Not a checkpoint: ${why}` });

// src/crypto/checkpoint-note.ts
var signatureBytes = 64;
var timeBytes = 8;
var maxSeconds = 864e10;
function verifySignature(note, key) {
  const line = note.signatures.find(({ name: name2, keyId }) => name2 === key.name && keyId.equals(key.keyId));
  if (!line) return false;
  return key.type === 1 ? verifyLogSignature(note.text, line, key) : verifyCosignature(note.text, line, key);
}
function verifyLogSignature(text, { signature }, key) {
  verifyEd25519(Buffer.from(text), signature, key);
  return true;
}
function verifyCosignature(text, { signature }, key) {
  if (signature.length !== timeBytes + signatureBytes) throw refusal11("a cosignature has not its length");
  parseCheckpoint(text);
  const seconds = signature.readBigUInt64BE();
  if (seconds > BigInt(maxSeconds)) throw refusal11("the time of a cosignature is out of range");
  verifyEd25519(cosignedBytes(text, Number(seconds)), signature.subarray(timeBytes), key);
  return new Date(Number(seconds) * 1e3);
}
function verifyEd25519(bytes2, signature, { publicKey }) {
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: publicKey.toString("base64url") }, format: "jwk" });
  if (!verify(null, bytes2, key, signature)) throw refusal11("a signature does not verify");
}
var cosignedBytes = (text, seconds) => Buffer.from(`cosignature/v1
time ${seconds}
${text}`);
var refusal11 = (why) => new CrosslineError("bad_checkpoint", { detail: `Checkpoint refused: ${why}` });

// src/steps/check-note.ts
function checkNote(bytes2, policy, why) {
  const text = bytes2.toString("utf8");
  const parsed = attempt2(() => readNote(text), why);
  if (!parsed) return void 0;
  const { note, checkpoint } = parsed;
  const faults = [];
  const add = (fault) => faults.push({ ...fault, log: checkpoint.origin });
  const signed = checkLogSignature(note, { checkpoint, policy }, add);
  const witnesses = policy.witnesses.flatMap(({ name: name2, key }) => {
    const at = attempt2(
      () => verifySignature(note, key),
      () => add({ stage: "signature", kind: "tampered", says: "A witness’s cosignature does not verify." })
    );
    return at instanceof Date ? [{ name: name2, at }] : [];
  });
  const k = countNames2(policy, (name2) => witnesses.some((witness) => witness.name === name2));
  const of = countNames2(policy, () => true);
  const { needed } = describeQuorum(policy);
  if (!meetsQuorum(policy, new Set(witnesses.map(({ name: name2 }) => name2))))
    add({ stage: "quorum", kind: "incomplete", says: `Witnessed ${k} of ${of}: fewer than the policy asks for (${needed}).` });
  return { checkpoint, witnesses, witnessed: k, needed, of, moment: quorumMoment(policy, witnesses), signed, faults };
}
var countNames2 = (policy, counts) => new Set(policy.witnesses.filter(({ name: name2 }) => counts(name2)).map(({ key }) => key.name)).size;
function readNote(text) {
  const note = parseNote(text);
  return { note, checkpoint: parseCheckpoint(note.text) };
}
function checkLogSignature(note, { checkpoint, policy }, add) {
  const keys = policy.logs.filter(({ name: name2 }) => name2 === checkpoint.origin);
  if (keys.length === 0) {
    add({
      stage: "signature",
      kind: "incomplete",
      says: "The policy names no key of this log: nothing can be verified with it."
    });
    return "unknown";
  }
  const signed = keys.map(
    (key) => attempt2(
      () => verifySignature(note, key),
      () => add({ stage: "signature", kind: "tampered", says: "The log’s signature does not verify." })
    )
  );
  if (signed.includes(void 0)) return "badly";
  if (signed.includes(true)) return "well";
  add({
    stage: "signature",
    kind: "tampered",
    says: "The checkpoint is not signed by the key of this log that the policy names."
  });
  return "unknown";
}
function attempt2(look, why) {
  try {
    return look();
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error;
    why(error.detail ?? error.message);
    return void 0;
  }
}

// src/steps/check-since.ts
function checkSince(note, { policy, faults, years }) {
  const add = (fault2) => void faults.add({ stage: "consistency", ...fault2 });
  const old = checkNote(note, policy, (says) => add({ kind: "unreadable", says: `The older checkpoint can’t be read. ${says}` }));
  if (!old) return "not proven";
  const { checkpoint } = old;
  for (const fault2 of old.faults) if (fault2.stage === "signature") add({ ...fault2, says: `The older checkpoint: ${fault2.says}` });
  const year = years.find(({ origin }) => origin === checkpoint.origin);
  const fault = year ? compare(checkpoint, year) : { kind: "incomplete", says: "The bundle says nothing about the log of the older checkpoint." };
  if (!fault) return "extended";
  add({ ...fault, log: checkpoint.origin });
  return "not proven";
}
function compare(old, { size, tree }) {
  if (old.size === 0) return { kind: "incomplete", says: "The older checkpoint is of the empty log: it proves nothing." };
  if (old.size > size)
    return {
      kind: "incomplete",
      says: "The bundle shows the log as it was before the older checkpoint. Ask for a newer one; if there is none, the log was rolled back."
    };
  const root = tree.rootAt(old.size);
  if (isFault(root)) {
    return root.kind === "missing" ? { kind: "incomplete", says: "The bundle does not hold the hashes that lead from the older checkpoint to its own." } : { kind: "tampered", says: "The hashes of the tree do not lead to the root that the checkpoint signs." };
  }
  if (root.equals(old.root)) return void 0;
  return {
    kind: "tampered",
    says: "The log is not the one that the older checkpoint saw: it was changed behind it, or it tells two stories."
  };
}

// src/steps/open-years.ts
function openYears(bundle, { policy, faults, member: member2 }) {
  const years = [...bundle.members.keys()].flatMap((name2) => /^([0-9]{4})\/checkpoint$/.exec(name2)?.[1] ?? []);
  refuseStrays(bundle, new Set(years));
  if (years.length === 0) faults.add({ stage: "read", kind: "incomplete", says: "There is no checkpoint in the bundle." });
  return years.sort().flatMap((year) => {
    const note = readMember(bundle, bundle.members.get(`${year}/checkpoint`), maxSmallMember);
    const checked = checkNote(note, policy, (says) => faults.add({ stage: "read", kind: "unreadable", says }));
    if (!checked) return [];
    for (const fault of checked.faults) faults.add(fault);
    const { origin } = checked.checkpoint;
    if (!origin.endsWith(`/audit/${year}`) || member2 !== void 0 && origin !== `${member2}/audit/${year}`)
      faults.add({
        stage: "read",
        kind: "tampered",
        log: origin,
        says: "The checkpoint is that of another log than the bundle says."
      });
    return [describeYear(year, checked, (tile) => readTile(bundle, year, tile))];
  });
}
function refuseStrays(bundle, years) {
  if (bundle.isCut) return;
  for (const name2 of bundle.members.keys())
    if (/^[0-9]/.test(name2) && !years.has(name2.slice(0, 4)))
      throw new CrosslineError("broken_file", { detail: "Not a bundle: a year in it has no checkpoint." });
}
function describeYear(year, checked, read) {
  const { checkpoint, witnesses, witnessed, needed, of } = checked;
  const { origin, size, root } = checkpoint;
  return {
    year,
    origin,
    size,
    root: root.toString("base64"),
    tree: openTree(checkpoint, read),
    witnesses: witnesses.map(({ name: name2, at }) => ({ name: name2, at: at.toISOString() })),
    witnessed,
    needed,
    of,
    entries: 0,
    last: lastNote(checked)
  };
}
function lastNote({ checkpoint, witnesses, moment }) {
  const [first] = witnesses.map(({ at }) => at).sort((one, other2) => one.getTime() - other2.getTime());
  return { size: checkpoint.size, first, moment };
}
function readTile(bundle, year, tile) {
  const place = bundle.members.get(`${year}/${tilePath(tile)}`);
  return place && readMember(bundle, place, maxSmallMember);
}

// src/domain/index-tree.ts
function encodeIndexLeaf({ country, ref, n, last }) {
  if (!Number.isSafeInteger(n) || n < 1 || last.length !== 32) throw refusal12("a leaf is not one of an index");
  const count2 = Buffer.alloc(8);
  count2.writeBigUInt64BE(BigInt(n));
  return Buffer.concat([indexKey(country, ref), count2, last]);
}
function indexKey(country, ref) {
  if (country !== null && !/^[A-Z]{2}$/.test(country) || ref.length !== 32) throw refusal12("a key is not one of an index");
  return Buffer.concat([country === null ? Buffer.alloc(2) : Buffer.from(country), ref]);
}
var indexLeafHash = (leaf) => leafHash(encodeIndexLeaf(leaf));
var refusal12 = (why) => new CrosslineError("bad_evidence", { detail: `No index: ${why}` });

// src/domain/item-index.ts
var isCountry = (value) => typeof value === "string" && /^[A-Z]{2}$/.test(value);
var isPath = (value) => Array.isArray(value) && value.length <= 53 && value.every(isDigest);
var claimForm = { required: { index: isCount, size: isCount } };
var lineForm = {
  required: { country: orNull(isCountry), ref: isDigest, n: isCount, last: isDigest, place: isCount, path: isPath }
};
function parseIndexClaim(text) {
  const value = attempt3(() => parseStrictObject(text));
  return value && !findFormFault(value, claimForm) ? value : void 0;
}
function parseIndexLine(text) {
  const value = attempt3(() => parseStrictObject(text));
  if (!value || findFormFault(value, lineForm) || value.n === 0) return void 0;
  const { country, ref, n, last, place, path } = value;
  return { country, ref: bytes(ref), n, last: bytes(last), place, path: path.map(bytes) };
}
function rootOfIndexLine(line, size) {
  return attempt3(() => rootFromInclusion({ leaf: indexLeafHash(line), index: line.place, size, path: line.path }));
}
function watchOrder(country) {
  let before;
  let begin;
  let isOpen = false;
  let isBroken = false;
  const side = (line) => Buffer.compare(Buffer.from(line.country ?? "\0\0"), Buffer.from(country ?? "\0\0"));
  return {
    take: (line) => {
      const follows = before?.place === line.place - 1;
      const isSorted2 = !before || line.place > before.place && Buffer.compare(keyOf(before), keyOf(line)) < 0;
      if (side(line) >= 0 && begin === void 0) begin = line.place === 0 ? "edge" : follows ? "neighbour" : "gap";
      else if (begin !== void 0 && isOpen && !follows) isBroken = true;
      isOpen = side(line) <= 0;
      before = line;
      return isSorted2;
    },
    provesCountry: (size) => {
      if (!before || isBroken || begin === "gap") return size === 0;
      return isOpen ? before.place === size - 1 : true;
    }
  };
}
var keyOf = ({ country, ref }) => indexKey(country, ref);
var bytes = (digest2) => Buffer.from(digest2, "base64url");
function attempt3(look) {
  try {
    return look();
  } catch {
    return void 0;
  }
}

// src/steps/read-lines.ts
import { isAscii } from "node:buffer";
var newline = 10;
var maxLine = 1 << 20;
var utf82 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
function* readLines(pieces) {
  let rest = Buffer.alloc(0);
  for (const piece of pieces) {
    const end = piece.lastIndexOf(newline) + 1;
    if (end > 0) yield decode(Buffer.concat([rest, piece.subarray(0, end)]));
    rest = end > 0 ? Buffer.from(piece.subarray(end)) : Buffer.concat([rest, piece]);
    if (rest.length > maxLine) throw refusal13("a line is too long");
  }
  if (rest.length > 0) throw refusal13("the last line has no end");
}
function decode(bytes2) {
  if (isAscii(bytes2)) return bytes2.toString("latin1");
  try {
    return utf82.decode(bytes2);
  } catch {
    throw refusal13("it is not UTF-8");
  }
}
var refusal13 = (why) => new CrosslineError("broken_file", { detail: `A list in the bundle can’t be read: ${why}.` });

// src/steps/verify-index.ts
function readIndex(bundle, member2, { log, heads, faults, country }) {
  let index;
  const add = (fault) => faults.add({ ...fault, stage: "chain", log });
  for (const text of readLines(readPieces(bundle, member2))) {
    for (const line of text.slice(0, -1).split("\n")) {
      if (index) takeLine(index, parseIndexLine(line) ?? refuse(), { heads, add, country });
      else index = { claim: parseIndexClaim(line) ?? refuse(), root: void 0, lines: 0, order: watchOrder(country) };
    }
  }
  return index ?? refuse();
}
function takeLine(index, line, { heads, add, country }) {
  const root = rootOfIndexLine(line, index.claim.size);
  if (!root || index.root && !root.equals(index.root))
    add({
      kind: "tampered",
      index: index.claim.index,
      says: "What the bundle says of an item does not lead to the index that the log states."
    });
  index.root ??= root;
  index.lines++;
  if (!index.order.take(line))
    add({ kind: "tampered", index: index.claim.index, says: "The items of the index do not come in their order." });
  const isNeighbour = country !== void 0 && line.country !== country;
  if (!isNeighbour && !heads.expect(line))
    add({ kind: "tampered", index: index.claim.index, says: "The index names an item twice." });
}
function checkIndexRoot({ claim, root }, found, { log, faults }) {
  const add = (fault) => faults.add({ ...fault, stage: "chain", index: claim.index, log });
  if (!found)
    add({ kind: "incomplete", says: "The index.root entry that the completeness rests on is missing, or not disclosed." });
  else if (found.size !== claim.size || root !== void 0 && found.root !== root.toString("base64url"))
    add({ kind: "tampered", says: "The index that the bundle shows is not the one that the log states." });
}
function checkItems(complete, { heads, faults }) {
  const { missing, other: other2 } = heads.unmet();
  const add = (kind, says) => faults.add({ stage: "chain", kind, says });
  if (other2 > 0) add("tampered", `Of ${other2} items the last entry is another than the index states.`);
  if (missing > 0 && complete !== "none")
    add(
      "incomplete",
      `Of ${missing} items the index states more entries than the bundle holds: the end of their history is missing.`
    );
}
function refuse() {
  throw new CrosslineError("broken_file", { detail: "A line of the index does not have its exact form." });
}

// src/domain/bundle-bracket.ts
function parseBracketLine(line) {
  try {
    const value = skipJcs(line, 0) === line.length ? parseStrictObject(line) : void 0;
    return isObject(value) && Object.keys(value).length === 1 && typeof value.note === "string" ? value.note : void 0;
  } catch {
    return void 0;
  }
}

// src/steps/check-brackets.ts
function* checkBrackets(notes, check, refuse3) {
  let before = -1;
  for (const note of notes) {
    const checked = checkNote(Buffer.from(note), check.policy, refuse3);
    if (!checked) continue;
    const { size } = checked.checkpoint;
    const fault = findFault(checked, check, before);
    before = size;
    if (fault) check.faults.add({ ...fault, log: check.log });
    else if (checked.signed === "well" && checked.moment) yield { size, moment: checked.moment };
    else check.counts.unusedNotes++;
  }
}
function readBrackets(bundle, member2, check) {
  return checkBrackets(readNotes(bundle, member2), check, refuse2);
}
function* readNotes(bundle, member2) {
  for (const text of readLines(readPieces(bundle, member2)))
    for (const line of text.slice(0, -1).split("\n")) yield parseBracketLine(line) ?? refuse2();
}
function findFault(checked, { log, tree }, before) {
  const { checkpoint, signed, faults } = checked;
  if (checkpoint.origin !== log)
    return { stage: "read", kind: "tampered", says: "A checkpoint beside the entries is that of another log." };
  const forged = faults.find(({ stage }) => stage === "signature");
  if (forged && signed !== "unknown") return { ...forged, says: `A checkpoint beside the entries: ${forged.says}` };
  if (signed === "well" && contradicts(checkpoint, tree))
    return {
      stage: "consistency",
      kind: "tampered",
      says: "A checkpoint beside the entries is not one of this log: it was changed behind it, or it tells two stories."
    };
  if (checkpoint.size > before) return void 0;
  return { stage: "time", kind: "tampered", says: "The checkpoints beside the entries do not come in the order of their sizes." };
}
function contradicts({ size, root }, tree) {
  if (size === 0) return false;
  if (size > tree.size) return true;
  const own = tree.rootAt(size);
  return !isFault(own) && !own.equals(root);
}
function refuse2() {
  throw new CrosslineError("broken_file", {
    detail: "A line of the checkpoints beside the entries does not have its exact form."
  });
}

// node_modules/csv-stringify/lib/utils/get.js
var charCodeOfDot = ".".charCodeAt(0);
var reEscapeChar = /\\(\\)?/g;
var rePropName = RegExp(
  // Match anything that isn't a dot or bracket.
  `[^.[\\]]+|\\[(?:([^"'][^[]*)|(["'])((?:(?!\\2)[^\\\\]|\\\\.)*?)\\2)\\]|(?=(?:\\.|\\[\\])(?:\\.|\\[\\]|$))`,
  "g"
);
var reIsDeepProp = /\.|\[(?:[^[\]]*|(["'])(?:(?!\1)[^\\]|\\.)*?\1)\]/;
var reIsPlainProp = /^\w*$/;
var getTag = function(value) {
  return Object.prototype.toString.call(value);
};
var isSymbol = function(value) {
  const type = typeof value;
  return type === "symbol" || type === "object" && value && getTag(value) === "[object Symbol]";
};
var isKey = function(value, object) {
  if (Array.isArray(value)) {
    return false;
  }
  const type = typeof value;
  if (type === "number" || type === "symbol" || type === "boolean" || !value || isSymbol(value)) {
    return true;
  }
  return reIsPlainProp.test(value) || !reIsDeepProp.test(value) || object != null && value in Object(object);
};
var stringToPath = function(string2) {
  const result = [];
  if (string2.charCodeAt(0) === charCodeOfDot) {
    result.push("");
  }
  string2.replace(rePropName, function(match, expression, quote2, subString) {
    let key = match;
    if (quote2) {
      key = subString.replace(reEscapeChar, "$1");
    } else if (expression) {
      key = expression.trim();
    }
    result.push(key);
  });
  return result;
};
var castPath = function(value, object) {
  if (Array.isArray(value)) {
    return value;
  } else {
    return isKey(value, object) ? [value] : stringToPath(value);
  }
};
var toKey = function(value) {
  if (typeof value === "string" || isSymbol(value)) return value;
  const result = `${value}`;
  return result == "0" && 1 / value == -Infinity ? "-0" : result;
};
var get = function(object, path) {
  path = castPath(path, object);
  let index = 0;
  const length = path.length;
  while (object != null && index < length) {
    object = object[toKey(path[index++])];
  }
  return index && index === length ? object : void 0;
};

// node_modules/csv-stringify/lib/utils/is_object.js
var is_object = function(obj) {
  return typeof obj === "object" && obj !== null && !Array.isArray(obj);
};

// node_modules/csv-stringify/lib/api/normalize_columns.js
var normalize_columns = function(columns2) {
  if (columns2 === void 0 || columns2 === null) {
    return [void 0, void 0];
  }
  if (typeof columns2 !== "object") {
    return [Error('Invalid option "columns": expect an array or an object')];
  }
  if (!Array.isArray(columns2)) {
    const newcolumns = [];
    for (const k in columns2) {
      newcolumns.push({
        key: k,
        header: columns2[k]
      });
    }
    columns2 = newcolumns;
  } else {
    const newcolumns = [];
    for (const column of columns2) {
      if (typeof column === "string") {
        newcolumns.push({
          key: column,
          header: column
        });
      } else if (typeof column === "object" && column !== null && !Array.isArray(column)) {
        if (!column.key) {
          return [
            Error('Invalid column definition: property "key" is required')
          ];
        }
        if (column.header === void 0) {
          column.header = column.key;
        }
        newcolumns.push(column);
      } else {
        return [
          Error("Invalid column definition: expect a string or an object")
        ];
      }
    }
    columns2 = newcolumns;
  }
  return [void 0, columns2];
};

// node_modules/csv-stringify/lib/api/CsvError.js
var CsvError = class _CsvError extends Error {
  constructor(code, message, ...contexts) {
    if (Array.isArray(message)) message = message.join(" ");
    super(message);
    if (Error.captureStackTrace !== void 0) {
      Error.captureStackTrace(this, _CsvError);
    }
    this.code = code;
    for (const context of contexts) {
      for (const key in context) {
        const value = context[key];
        this[key] = Buffer.isBuffer(value) ? value.toString() : value == null ? value : JSON.parse(JSON.stringify(value));
      }
    }
  }
};

// node_modules/csv-stringify/lib/utils/underscore.js
var underscore = function(str) {
  return str.replace(/([A-Z])/g, function(_, match) {
    return "_" + match.toLowerCase();
  });
};

// node_modules/csv-stringify/lib/api/normalize_options.js
var normalize_options = function(opts) {
  const options = {};
  for (const opt in opts) {
    options[underscore(opt)] = opts[opt];
  }
  if (options.bom === void 0 || options.bom === null || options.bom === false) {
    options.bom = false;
  } else if (options.bom !== true) {
    return [
      new CsvError("CSV_OPTION_BOOLEAN_INVALID_TYPE", [
        "option `bom` is optional and must be a boolean value,",
        `got ${JSON.stringify(options.bom)}`
      ])
    ];
  }
  if (options.delimiter === void 0 || options.delimiter === null) {
    options.delimiter = ",";
  } else if (Buffer.isBuffer(options.delimiter)) {
    options.delimiter = options.delimiter.toString();
  } else if (typeof options.delimiter !== "string") {
    return [
      new CsvError("CSV_OPTION_DELIMITER_INVALID_TYPE", [
        "option `delimiter` must be a buffer or a string,",
        `got ${JSON.stringify(options.delimiter)}`
      ])
    ];
  }
  if (options.quote === void 0 || options.quote === null) {
    options.quote = '"';
  } else if (options.quote === true) {
    options.quote = '"';
  } else if (options.quote === false) {
    options.quote = "";
  } else if (Buffer.isBuffer(options.quote)) {
    options.quote = options.quote.toString();
  } else if (typeof options.quote !== "string") {
    return [
      new CsvError("CSV_OPTION_QUOTE_INVALID_TYPE", [
        "option `quote` must be a boolean, a buffer or a string,",
        `got ${JSON.stringify(options.quote)}`
      ])
    ];
  }
  if (options.quoted === void 0 || options.quoted === null) {
    options.quoted = false;
  } else {
  }
  if (options.escape_formulas === void 0 || options.escape_formulas === null) {
    options.escape_formulas = false;
  } else if (typeof options.escape_formulas !== "boolean") {
    return [
      new CsvError("CSV_OPTION_ESCAPE_FORMULAS_INVALID_TYPE", [
        "option `escape_formulas` must be a boolean,",
        `got ${JSON.stringify(options.escape_formulas)}`
      ])
    ];
  }
  if (options.quoted_empty === void 0 || options.quoted_empty === null) {
    options.quoted_empty = void 0;
  } else {
  }
  if (options.quoted_match === void 0 || options.quoted_match === null || options.quoted_match === false) {
    options.quoted_match = null;
  } else if (!Array.isArray(options.quoted_match)) {
    options.quoted_match = [options.quoted_match];
  }
  if (options.quoted_match) {
    for (const quoted_match of options.quoted_match) {
      const isString = typeof quoted_match === "string";
      const isRegExp = quoted_match instanceof RegExp;
      if (!isString && !isRegExp) {
        return [
          new CsvError("CSV_OPTION_QUOTED_MATCH", [
            "option `quoted_match` must be a string or a regex,",
            `got ${JSON.stringify(options.quoted_match)}`
          ])
        ];
      }
    }
  }
  if (options.quoted_string === void 0 || options.quoted_string === null) {
    options.quoted_string = false;
  } else {
  }
  if (options.eof === void 0 || options.eof === null) {
    options.eof = true;
  } else {
  }
  if (options.escape === void 0 || options.escape === null) {
    options.escape = '"';
  } else if (Buffer.isBuffer(options.escape)) {
    options.escape = options.escape.toString();
  } else if (typeof options.escape !== "string") {
    return [
      Error(
        `Invalid Option: escape must be a buffer or a string, got ${JSON.stringify(options.escape)}`
      )
    ];
  }
  if (options.escape.length > 1) {
    return [
      Error(
        `Invalid Option: escape must be one character, got ${options.escape.length} characters`
      )
    ];
  }
  if (options.header === void 0 || options.header === null || options.header === false) {
    options.header = false;
  } else if (options.header !== true) {
    throw new CsvError(
      "CSV_INVALID_OPTION_HEADER",
      [
        "option `header` is expected to be a boolean,",
        `got ${JSON.stringify(options.header)}`
      ],
      options
    );
  }
  if (options.header_as_comment === void 0 || options.header_as_comment === null || options.header_as_comment === false) {
    options.header_as_comment = false;
  } else if (options.header_as_comment === true) {
    options.header_as_comment = "#";
  } else if (Buffer.isBuffer(options.header_as_comment)) {
    options.header_as_comment = options.header_as_comment.toString();
  } else if (typeof options.header_as_comment !== "string") {
    throw new CsvError(
      "CSV_INVALID_OPTION_HEADER_AS_COMMENT",
      [
        "option `header_as_comment` must be a boolean, a string or a buffer,",
        `got ${JSON.stringify(options.header_as_comment)}`
      ],
      options
    );
  }
  const [errColumns, columns2] = normalize_columns(options.columns);
  if (errColumns !== void 0) return [errColumns];
  options.columns = columns2;
  if (options.quoted === void 0 || options.quoted === null) {
    options.quoted = false;
  } else {
  }
  if (options.cast === void 0 || options.cast === null) {
    options.cast = {};
  } else {
  }
  if (options.cast.bigint === void 0 || options.cast.bigint === null) {
    options.cast.bigint = (value) => "" + value;
  }
  if (options.cast.boolean === void 0 || options.cast.boolean === null) {
    options.cast.boolean = (value) => value ? "1" : "";
  }
  if (options.cast.date === void 0 || options.cast.date === null) {
    options.cast.date = (value) => "" + value.getTime();
  }
  if (options.cast.number === void 0 || options.cast.number === null) {
    options.cast.number = (value) => "" + value;
  }
  if (options.cast.object === void 0 || options.cast.object === null) {
    options.cast.object = (value) => JSON.stringify(value);
  }
  if (options.cast.string === void 0 || options.cast.string === null) {
    options.cast.string = function(value) {
      return value;
    };
  }
  if (options.on_record !== void 0 && typeof options.on_record !== "function") {
    return [Error(`Invalid Option: "on_record" must be a function.`)];
  }
  if (options.quote_record_delimiter === void 0 || options.quote_record_delimiter === null) {
    options.quote_record_delimiter = !options.record_delimiter;
  } else if (typeof options.quote_record_delimiter !== "boolean") {
    return [
      new CsvError("CSV_OPTION_QUOTE_RECORD_DELIMITER_INVALID_TYPE", [
        "option `quote_record_delimiter` must be a boolean,",
        `got ${JSON.stringify(options.quote_record_delimiter)}`
      ])
    ];
  }
  if (options.record_delimiter === void 0 || options.record_delimiter === null) {
    options.record_delimiter = "\n";
  } else if (Buffer.isBuffer(options.record_delimiter)) {
    options.record_delimiter = options.record_delimiter.toString();
  } else if (typeof options.record_delimiter !== "string") {
    return [
      Error(
        `Invalid Option: record_delimiter must be a buffer or a string, got ${JSON.stringify(options.record_delimiter)}`
      )
    ];
  }
  switch (options.record_delimiter) {
    case "unix":
      options.record_delimiter = "\n";
      break;
    case "mac":
      options.record_delimiter = "\r";
      break;
    case "windows":
      options.record_delimiter = "\r\n";
      break;
    case "ascii":
      options.record_delimiter = "";
      break;
    case "unicode":
      options.record_delimiter = "\u2028";
      break;
  }
  return [void 0, options];
};

// node_modules/csv-stringify/lib/api/index.js
var bom_utf8 = Buffer.from([239, 187, 191]);
var emits_separator = function(value, separators) {
  return separators.some(
    (separator) => separator.length !== 0 && (value.indexOf(separator) !== -1 || separator.length > 1 && (value + separator).indexOf(separator) < value.length)
  );
};
var matches_quoted_match = function(value, quoted_match) {
  if (!quoted_match) return false;
  return quoted_match.some(
    (pattern) => typeof pattern === "string" ? value.indexOf(pattern) !== -1 : value.search(pattern) !== -1
  );
};
var stringifier = function(options, state, info) {
  return {
    options,
    state,
    info,
    __transform: function(chunk, push) {
      if (!Array.isArray(chunk) && typeof chunk !== "object") {
        return Error(
          `Invalid Record: expect an array or an object, got ${JSON.stringify(chunk)}`
        );
      }
      if (this.info.records === 0) {
        if (Array.isArray(chunk)) {
          if (this.options.header === true && this.options.columns === void 0) {
            return Error(
              "Undiscoverable Columns: header option requires column option or object records"
            );
          }
        } else if (this.options.columns === void 0) {
          const [err2, columns2] = normalize_columns(Object.keys(chunk));
          if (err2) return;
          this.options.columns = columns2;
        }
      }
      if (this.info.records === 0) {
        this.bom(push);
        const err2 = this.headers(push);
        if (err2) return err2;
      }
      try {
        if (this.options.on_record) {
          this.options.on_record(chunk, this.info.records);
        }
      } catch (err2) {
        return err2;
      }
      let err, chunk_string;
      if (this.options.eof) {
        [err, chunk_string] = this.stringify(chunk);
        if (err) return err;
        if (chunk_string === void 0) {
          return;
        } else {
          chunk_string = chunk_string + this.options.record_delimiter;
        }
      } else {
        [err, chunk_string] = this.stringify(chunk);
        if (err) return err;
        if (chunk_string === void 0) {
          return;
        } else {
          if (this.options.header || this.info.records) {
            chunk_string = this.options.record_delimiter + chunk_string;
          }
        }
      }
      this.info.records++;
      push(chunk_string);
    },
    stringify: function(chunk, chunkIsHeader = false) {
      if (typeof chunk !== "object") {
        return [void 0, chunk];
      }
      const { columns: columns2 } = this.options;
      const record = [];
      if (Array.isArray(chunk)) {
        const length = columns2 ? Math.min(chunk.length, columns2.length) : chunk.length;
        for (let i = 0; i < length; i++) {
          const field2 = chunk[i];
          const [err, value] = this.__cast(field2, {
            index: i,
            column: i,
            records: this.info.records,
            header: chunkIsHeader
          });
          if (err) return [err];
          record[i] = [value, field2];
        }
      } else {
        for (let i = 0; i < columns2.length; i++) {
          const field2 = get(chunk, columns2[i].key);
          const [err, value] = this.__cast(field2, {
            index: i,
            column: columns2[i].key,
            records: this.info.records,
            header: chunkIsHeader
          });
          if (err) return [err];
          record[i] = [value, field2];
        }
      }
      let csvrecord = "";
      for (let i = 0; i < record.length; i++) {
        let options2, err;
        let [value, field2] = record[i];
        if (typeof value === "string") {
          options2 = this.options;
        } else if (is_object(value)) {
          options2 = { ...value };
          value = options2.value;
          delete options2.value;
          if (typeof value !== "string" && value !== void 0 && value !== null) {
            if (err)
              return [
                Error(
                  `Invalid Casting Value: returned value must return a string, null or undefined, got ${JSON.stringify(value)}`
                )
              ];
          }
          options2 = { ...this.options, ...options2 };
          [err, options2] = normalize_options(options2);
          if (err !== void 0) {
            return [err];
          }
        } else if (value === void 0 || value === null) {
          options2 = this.options;
        } else {
          return [
            Error(
              `Invalid Casting Value: returned value must return a string, an object, null or undefined, got ${JSON.stringify(value)}`
            )
          ];
        }
        const {
          delimiter,
          escape,
          quote: quote2,
          quoted: quoted2,
          quoted_empty,
          quoted_string,
          quoted_match,
          record_delimiter,
          quote_record_delimiter,
          escape_formulas
        } = options2;
        if ("" === value && "" === field2) {
          const quotedMatch = matches_quoted_match(value, quoted_match);
          const shouldQuote = quotedMatch || true === quoted_empty || true === quoted_string && false !== quoted_empty;
          if (shouldQuote === true) {
            value = quote2 + value + quote2;
          }
          csvrecord += value;
        } else if (value) {
          if (typeof value !== "string") {
            return [
              Error(
                `Formatter must return a string, null or undefined, got ${JSON.stringify(value)}`
              )
            ];
          }
          const containsdelimiter = emits_separator(value, [delimiter]);
          const containsQuote = quote2 !== "" && value.indexOf(quote2) >= 0;
          const containsEscape = value.indexOf(escape) >= 0 && escape !== quote2;
          const containsRecordDelimiter = emits_separator(value, [
            record_delimiter,
            ...quote_record_delimiter === false ? [] : ["\n", "\r"]
          ]);
          const quotedString = quoted_string && typeof field2 === "string";
          const quotedMatch = matches_quoted_match(value, quoted_match);
          if (escape_formulas) {
            switch (value[0]) {
              case "-":
                if (typeof field2 === "number" || typeof field2 === "bigint") {
                  break;
                }
                value = `'${value}`;
                break;
              case "=":
              case "+":
              case "@":
              case "	":
              case "\r":
              case "＝":
              // Unicode '='
              case "＋":
              // Unicode '+'
              case "－":
              // Unicode '-'
              case "＠":
                value = `'${value}`;
                break;
            }
          }
          const shouldQuote = containsQuote === true || containsdelimiter || containsRecordDelimiter || quoted2 || quotedString || quotedMatch;
          if (shouldQuote === true && containsEscape === true) {
            value = value.replaceAll(escape, () => escape + escape);
          }
          if (containsQuote === true) {
            value = value.replaceAll(quote2, () => escape + quote2);
          }
          if (shouldQuote === true) {
            value = quote2 + value + quote2;
          }
          csvrecord += value;
        } else if (quoted_empty === true || field2 === "" && quoted_string === true && quoted_empty !== false) {
          csvrecord += quote2 + quote2;
        }
        if (i !== record.length - 1) {
          csvrecord += delimiter;
        }
      }
      return [void 0, csvrecord];
    },
    bom: function(push) {
      if (this.options.bom !== true) {
        return;
      }
      push(bom_utf8);
    },
    headers: function(push) {
      if (this.options.header === false) {
        return;
      }
      if (this.options.columns === void 0) {
        return;
      }
      let err;
      let headers = this.options.columns.map((column) => column.header);
      if (this.options.eof) {
        [err, headers] = this.stringify(headers, true);
        headers += this.options.record_delimiter;
      } else {
        [err, headers] = this.stringify(headers, true);
      }
      if (err) return err;
      if (this.options.header_as_comment) {
        headers = this.options.header_as_comment + " " + headers;
      }
      push(headers);
    },
    __cast: function(value, context) {
      const type = typeof value;
      try {
        if (type === "string") {
          return [void 0, this.options.cast.string(value, context)];
        } else if (type === "bigint") {
          return [void 0, this.options.cast.bigint(value, context)];
        } else if (type === "number") {
          return [void 0, this.options.cast.number(value, context)];
        } else if (type === "boolean") {
          return [void 0, this.options.cast.boolean(value, context)];
        } else if (value instanceof Date) {
          return [void 0, this.options.cast.date(value, context)];
        } else if (type === "object" && value !== null) {
          return [void 0, this.options.cast.object(value, context)];
        } else if (value === null && this.options.cast.null !== void 0) {
          return [void 0, this.options.cast.null(value, context)];
        } else if (value === void 0 && this.options.cast.undefined !== void 0) {
          return [void 0, this.options.cast.undefined(value, context)];
        } else {
          return [void 0, value];
        }
      } catch (err) {
        return [err];
      }
    }
  };
};

// node_modules/csv-stringify/lib/sync.js
var stringify = function(records, opts = {}) {
  const data = [];
  const [err, options] = normalize_options(opts);
  if (err !== void 0) throw err;
  const state = {
    stop: false
  };
  const info = {
    records: 0
  };
  const api = stringifier(options, state, info);
  for (const record of records) {
    const err2 = api.__transform(record, function(record2) {
      data.push(record2);
    });
    if (err2 !== void 0) throw err2;
  }
  if (data.length === 0) {
    api.bom((d) => {
      data.push(d);
    });
    const err2 = api.headers((headers) => {
      data.push(headers);
    });
    if (err2 !== void 0) throw err2;
  }
  return data.join("");
};

// node_modules/canonicalize/lib/canonicalize.js
function serializeString(value) {
  if (!value.isWellFormed()) {
    throw new Error("Lone surrogate is not allowed");
  }
  return JSON.stringify(value);
}
function serializePrimitive(value) {
  switch (typeof value) {
    case "number":
      if (isNaN(value)) {
        throw new Error("NaN is not allowed");
      }
      if (!isFinite(value)) {
        throw new Error("Infinity is not allowed");
      }
      return JSON.stringify(value);
    case "string":
      return serializeString(value);
    case "boolean":
      return value ? "true" : "false";
    default:
      return JSON.stringify(value);
  }
}
function enterValue(value, seen) {
  let wrappers = null;
  while (value !== null && typeof value === "object" && typeof value.toJSON === "function") {
    if (seen.has(value)) {
      throw new Error("Circular reference detected");
    }
    seen.add(value);
    (wrappers ??= []).push(value);
    value = value.toJSON();
  }
  if (value instanceof Number || value instanceof String || value instanceof Boolean) {
    value = value.valueOf();
  }
  if (value === null || typeof value !== "object") {
    if (wrappers !== null) {
      for (const wrapper of wrappers) seen.delete(wrapper);
    }
    return serializePrimitive(value);
  }
  if (seen.has(value)) {
    throw new Error("Circular reference detected");
  }
  seen.add(value);
  return {
    container: value,
    // null marks an array frame; object frames carry their sorted keys.
    // `sort()`'s default comparator orders by UTF-16 code unit, which is the
    // order JCS requires.
    keys: Array.isArray(value) ? null : Object.keys(value).sort(),
    // Next child to serialize; the frame resumes here after a nested
    // container's subtree completes.
    index: 0,
    // Whether no member has been emitted yet (controls comma placement).
    first: true,
    // toJSON wrappers to release from `seen` when this frame completes.
    wrappers
  };
}
function canonicalize(object) {
  if (object === null || typeof object !== "object") {
    return serializePrimitive(object);
  }
  const seen = /* @__PURE__ */ new Set();
  const root = enterValue(object, seen);
  if (typeof root !== "object") {
    return root;
  }
  let result = root.keys === null ? "[" : "{";
  const stack = [root];
  outer:
    while (stack.length > 0) {
      const frame = stack[stack.length - 1];
      const container = frame.container;
      if (frame.keys === null) {
        while (frame.index < container.length) {
          const i = frame.index++;
          if (i > 0) {
            result += ",";
          }
          const element = container[i];
          const value = element === void 0 || typeof element === "symbol" || typeof element === "function" ? null : element;
          if (value === null || typeof value !== "object") {
            result += serializePrimitive(value);
            continue;
          }
          const child = enterValue(value, seen);
          if (typeof child !== "object") {
            result += child === void 0 ? "null" : child;
            continue;
          }
          result += child.keys === null ? "[" : "{";
          stack.push(child);
          continue outer;
        }
        result += "]";
      } else {
        const keys = frame.keys;
        while (frame.index < keys.length) {
          const key = keys[frame.index++];
          const value = container[key];
          if (value === void 0 || typeof value === "symbol" || typeof value === "function") {
            continue;
          }
          if (value === null || typeof value !== "object") {
            if (frame.first) {
              frame.first = false;
            } else {
              result += ",";
            }
            result += serializeString(key) + ":" + serializePrimitive(value);
            continue;
          }
          const child = enterValue(value, seen);
          if (child === void 0) {
            continue;
          }
          if (frame.first) {
            frame.first = false;
          } else {
            result += ",";
          }
          result += serializeString(key) + ":";
          if (typeof child !== "object") {
            result += child;
            continue;
          }
          result += child.keys === null ? "[" : "{";
          stack.push(child);
          continue outer;
        }
        result += "}";
      }
      seen.delete(container);
      if (frame.wrappers !== null) {
        for (const wrapper of frame.wrappers) seen.delete(wrapper);
      }
      stack.pop();
    }
  return result;
}

// src/domain/audit-entry.ts
function toJcs(value) {
  if (typeof value === "string") return JSON.stringify(value);
  const text = canonicalize(value);
  if (text === void 0) throw new TypeError("only JSON values can be committed to");
  return text;
}

// src/steps/entry-table.ts
var columns = [
  "index",
  "recordedAt",
  "at",
  "event",
  "from",
  "to",
  "country",
  "ref",
  "n",
  "actor",
  "purpose",
  "case",
  "facts"
];
function makeTable(lines) {
  return stringify(lines.map(toRow), {
    header: true,
    columns: [...columns],
    escape_formulas: true,
    record_delimiter: "windows",
    bom: true
  });
}
function toRow({ index, entry, recordedAt, disclosed }) {
  const { at, event, from, to, ref, n } = JSON.parse(entry);
  const values = Object.entries(disclosed).map(([name2, { value }]) => [name2, value]);
  const { actor, country, purpose, ...facts } = Object.fromEntries(values);
  const asked2 = purpose ?? {};
  return {
    index,
    recordedAt,
    at,
    event,
    from,
    to,
    country,
    ref,
    n,
    actor: actor === void 0 ? "" : toJcs(actor),
    purpose: asked2.purpose,
    case: asked2.case,
    facts: values.length === 0 ? "" : toJcs(facts)
  };
}

// src/steps/check-table.ts
var entriesForm = /^([0-9]{4}\/entries\/[0-9]{6})\.ndjson$/;
var tableForm = /^([0-9]{4}\/entries\/[0-9]{6})\.csv$/;
var header = makeTable([]);
var hasTables = ({ members }) => [...members.keys()].some((name2) => tableForm.test(name2));
var countStrayTables = ({ members }, year) => [...members.keys()].filter((name2) => {
  const chunk = tableForm.exec(name2)?.[1];
  return chunk !== void 0 && name2.startsWith(`${year}/`) && !members.has(`${chunk}.ndjson`);
}).length;
function openTable({ members, source }, chunk) {
  const place = members.get(chunk.replace(entriesForm, "$1.csv"));
  if (!place) return { add: () => void 0, conclude: () => "missing" };
  let at = 0;
  let isSame = true;
  const compare2 = (text) => {
    if (!isSame || text === void 0) {
      isSame = false;
      return;
    }
    const expected = Buffer.from(text);
    isSame = at + expected.length <= place.size && source.read(place.position + at, expected.length).equals(expected);
    at += expected.length;
  };
  compare2(header);
  return {
    add: (lines) => compare2(isSame ? makeRows(lines) : void 0),
    conclude: () => isSame && at === place.size ? "same" : "other"
  };
}
function makeRows(lines) {
  try {
    const rows = lines.split("\n").flatMap((line) => line === "" ? [] : [JSON.parse(line)]);
    return makeTable(rows).slice(header.length);
  } catch {
    return void 0;
  }
}

// src/steps/verify-entries.ts
import { createHash as createHash2 } from "node:crypto";

// src/domain/bundle-line.ts
var none = [];
var empty = '{"disclosed":{},"entry":"';
var beginning = '{"disclosed":{';
var middle = '},"entry":"';
var salted = /"([a-z]{2,20})":{"salt":"([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])","value":/y;
var ending = new RegExp(`","index":(0|[1-9][0-9]{0,15}),"recordedAt":"(${timePattern})"}\\n`, "y");
function readBundleLine(text, at) {
  const opened = readDisclosed(text, at);
  if (!opened) return void 0;
  const found = matchEntry(text, opened.end, true);
  if (!found) return void 0;
  ending.lastIndex = found.end;
  const [, index, recordedAt = ""] = ending.exec(text) ?? [];
  if (index === void 0 || !Number.isSafeInteger(Number(index))) return void 0;
  const { entry, end } = found;
  return {
    index: Number(index),
    entry,
    from: opened.end,
    to: end,
    disclosed: opened.disclosed,
    recordedAt,
    end: ending.lastIndex
  };
}
function readDisclosed(text, at) {
  if (text.startsWith(empty, at)) return { disclosed: none, end: at + empty.length };
  if (!text.startsWith(beginning, at)) return void 0;
  const disclosed = [];
  let end = at + beginning.length - 1;
  do {
    const span = readSpan(text, end + 1);
    if (!span || span.name <= (disclosed.at(-1)?.name ?? "")) return void 0;
    disclosed.push(span);
    end = span.to + 1;
  } while (text[end] === ",");
  return text.startsWith(middle, end) ? { disclosed, end: end + middle.length } : void 0;
}
function readSpan(text, at) {
  salted.lastIndex = at;
  const [, name2, salt = ""] = salted.exec(text) ?? [];
  if (name2 === void 0) return void 0;
  const from = salted.lastIndex;
  const to = endOfValue(text, from);
  return to !== void 0 && text[to] === "}" ? { name: name2, salt, from, to } : void 0;
}
function endOfValue(text, at) {
  try {
    return skipJcs(text, at);
  } catch {
    return void 0;
  }
}

// src/steps/verify-entries.ts
function verifyEntries(member2, reading) {
  const digest2 = createHash2("sha256");
  let first;
  let indexRoot;
  for (const text of readLines(hashed(readPieces(reading.bundle, member2), digest2, reading.onBytes))) {
    for (let at = 0; at < text.length; ) {
      const line = readBundleLine(text, at);
      if (!line) throw refusal14();
      verifyLine(text, line, reading.check);
      first ??= line.index;
      if (line.index === reading.indexAt) indexRoot = readIndexRoot(text, line);
      at = line.end;
    }
    reading.table?.add(text);
  }
  return { sha256: digest2.digest("base64url"), first, indexRoot };
}
function verifyLine(text, { index, entry, from, to, disclosed }, check) {
  check.entry(index, entry, hashQuoted(text.slice(from, to)));
  for (const { name: name2, salt, from: from2, to: to2 } of disclosed) check.disclosure(index, entry, { name: name2, salt, value: text.slice(from2, to2) });
}
function readIndexRoot(text, { entry, disclosed }) {
  const disclosedAs = (name2) => {
    const span = disclosed.find((each) => each.name === name2);
    return span && JSON.parse(text.slice(span.from, span.to));
  };
  return entry.event === "index.root" ? { root: disclosedAs("root"), size: disclosedAs("size") } : void 0;
}
var backslash2 = 92;
var scratch2 = Buffer.alloc(8192);
function hashQuoted(quoted2) {
  if (scratch2.length < quoted2.length) scratch2 = Buffer.alloc(quoted2.length);
  const length = scratch2.write(quoted2, 0, "latin1");
  const bytes2 = scratch2;
  let to = bytes2.indexOf(backslash2);
  for (let at = to; at < length; at++) {
    const byte = bytes2[at];
    if (byte !== backslash2) bytes2[to++] = byte;
  }
  return leafHash(bytes2.subarray(0, to));
}
function* hashed(pieces, digest2, onBytes) {
  for (const piece of pieces) {
    digest2.update(piece);
    yield piece;
    onBytes(piece.length);
  }
}
var refusal14 = () => new CrosslineError("broken_file", { detail: "A line of the entries does not have its exact form." });

// src/steps/verify-year.ts
var completeness = {
  item: "items",
  country: "items",
  log: "log",
  none: "none"
};
function verifyYear(year, index, reading) {
  const { faults, manifest } = reading;
  const { origin, tree } = year;
  const rootFault = tree.checkRoot();
  if (rootFault) faults.add({ ...tileFault(rootFault.kind), log: origin });
  const complete = manifest ? completeness[manifest.complete] : "none";
  const brackets = createBrackets(year.last);
  const check = createLogCheck({ ...reading, log: origin, tree, complete, around: brackets.around });
  const indexRoot = readAll(year, { ...reading, check, brackets, indexAt: index?.claim.index });
  if (complete === "log" && check.next < year.size)
    faults.add({
      stage: "inclusion",
      kind: "incomplete",
      log: origin,
      index: check.next,
      says: "The entries from this place to the end of the log are missing."
    });
  if (index) checkIndexRoot(index, indexRoot, { log: origin, faults });
  if (!rootFault) checkTiles(year, reading);
  return check.entries;
}
function readAll(open, reading) {
  const { year, origin } = open;
  const { bundle, brackets, faults, digests } = reading;
  const isTabled = hasTables(bundle);
  let found;
  for (const [n, place] of entryMembers(bundle, year).entries()) {
    if (!place.name.endsWith(`/${String(n).padStart(6, "0")}.ndjson`))
      faults.add({ stage: "read", kind: "incomplete", log: origin, says: "A part of the entries is missing." });
    brackets.bring(bracketsBeside(place, open, reading));
    const table = isTabled ? openTable(bundle, place.name) : void 0;
    const { sha256, first, indexRoot } = verifyEntries(place, { ...reading, table });
    if (table) checkTable(table, first, { ...reading, origin });
    const claimed = digests.get(place.name);
    if (claimed !== void 0) checkDigest(sha256, claimed, faults);
    found ??= indexRoot;
  }
  brackets.end();
  checkStrayBrackets(open, reading);
  if (countStrayTables(bundle, year) > 0)
    faults.add({ ...tableFault, log: origin, says: "A table (.csv) stands beside no entries." });
  return found;
}
function bracketsBeside({ name: name2 }, { origin, tree }, { bundle, ...reading }) {
  const place = bundle.members.get(name2.replace("/entries/", "/brackets/"));
  return place ? readBrackets(bundle, place, { ...reading, log: origin, tree }) : [];
}
function checkStrayBrackets({ year, origin }, { bundle, manifest, faults }) {
  for (const { name: name2 } of bundle.members.values())
    if (name2.startsWith(`${year}/brackets/`) && !bundle.members.has(name2.replace("/brackets/", "/entries/")))
      faults.add({
        stage: "time",
        kind: manifest ? "tampered" : "incomplete",
        log: origin,
        says: "Checkpoints stand in the bundle beside no entries."
      });
}
var tableFault = { stage: "disclosure", kind: "tampered" };
function checkTable(table, first, { origin, faults, manifest }) {
  const found = table.conclude();
  const place = first === void 0 ? { log: origin } : { log: origin, index: first };
  if (found === "other")
    faults.add({
      ...tableFault,
      ...place,
      says: "The table (.csv) beside the entries from this place on does not say what they say."
    });
  if (found === "missing")
    faults.add({
      ...tableFault,
      ...place,
      kind: manifest ? "tampered" : "incomplete",
      says: "The table (.csv) beside the entries from this place on is missing, and others are there."
    });
}
var entryMembers = ({ members }, year) => [...members.values()].filter((place) => isEntries(place) && place.name.startsWith(year)).sort((a, b) => a.name < b.name ? -1 : 1);
function checkTiles({ year, tree, origin }, { bundle, faults }) {
  for (const { name: name2 } of bundle.members.values()) {
    if (!name2.startsWith(`${year}/tile/`)) continue;
    const fault = findTileFault(tree, name2.slice(5));
    if (fault) faults.add({ ...tileFault(fault), log: origin });
  }
}
function findTileFault(tree, path) {
  const tile = readTilePath(path);
  return tile && tree.hasTile(tile) ? tree.checkTile(tile)?.kind : "foreign";
}
function readTilePath(path) {
  try {
    return parseTilePath(path);
  } catch {
    return void 0;
  }
}

// src/steps/verify-bundle.ts
function verifyBundle(source, options) {
  const counts = newCounts();
  const result = {
    verdict: "unreadable",
    faults: [],
    faultCount: 0,
    logs: [],
    counts: { ...counts, items: 0 },
    manifest: void 0,
    complete: "none",
    bundlePolicy: "absent",
    since: options.since ? "not proven" : "not asked"
  };
  const run = { faults: collectFaults(), heads: createHeads(), counts, result };
  try {
    verifyAll(source, options, run);
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error;
    run.faults.add({ stage: "read", kind: "unreadable", says: error.detail ?? error.message });
  }
  return conclude(run);
}
var createHeads = () => createItemHeads(randomInt(2 ** 31) * 2 + 1);
function conclude({ faults, heads, counts, result }) {
  const verdict = faults.verdict();
  return {
    ...result,
    verdict,
    faults: faults.list(),
    faultCount: faults.count,
    counts: { ...counts, items: heads.size },
    complete: verdict === "valid" ? result.complete : "none",
    since: verdict === "valid" || result.since !== "extended" ? result.since : "not proven"
  };
}
function verifyAll(source, options, run) {
  const { faults, heads, result } = run;
  const policy = parsePolicy(options.policy.toString("utf8"));
  const bundle = openBundle(source);
  if (bundle.members.size === 0) throw new CrosslineError("broken_file", { detail: "Not a bundle: there is nothing in it." });
  const onBytes = countBytes(source.size, options.onProgress);
  const manifest = readManifest(bundle, faults);
  result.manifest = manifest;
  result.bundlePolicy = comparePolicy(bundle, options.policy);
  const digests = checkMembers(bundle, manifest, { faults, onBytes });
  const years = openYears(bundle, { policy, faults, member: manifest?.member });
  const indexes = years.map((year) => openIndex(bundle, year, { manifest, run }));
  years.forEach((year, n) => {
    year.entries = verifyYear(year, indexes[n], { ...run, bundle, policy, manifest, digests, onBytes });
    result.logs.push(describeLog2(year));
  });
  if (options.since) result.since = checkSince(options.since, { policy, faults, years });
  checkItems(manifest?.complete ?? "none", { heads, faults });
  if (manifest) checkClaims(manifest, indexes, run);
}
function describeLog2({ origin, size, root, witnesses, witnessed, needed, of, entries }) {
  return { origin, size, root, witnesses, witnessed, needed, of, entries };
}
function countBytes(total, onProgress) {
  let done = 0;
  return (count2) => {
    done += count2;
    onProgress?.(done, total);
  };
}
function openIndex(bundle, { year, origin }, { manifest, run }) {
  const place = bundle.members.get(`${year}/index.ndjson`);
  if (!place) return void 0;
  const country = manifest?.complete === "country" ? countryOf(manifest) : void 0;
  return readIndex(bundle, place, { ...run, log: origin, country });
}
function countryOf({ filter }) {
  const country = filter?.country;
  if (typeof country === "string") return country;
  throw new CrosslineError("broken_file", { detail: "The bundle claims to hold a whole country and does not say which." });
}
function checkClaims({ complete, entries }, indexes, { faults, counts, result }) {
  const add = (says, kind = "incomplete") => faults.add({ stage: "chain", kind, says });
  if (entries !== counts.entries)
    add("The bundle does not hold as many entries as its manifest says.", entries > counts.entries ? "incomplete" : "tampered");
  const given = indexes.filter((index) => index !== void 0);
  if (complete === "item" && !given.some(({ lines }) => lines > 0))
    add("The bundle claims to hold all of an item, and no index shows it.");
  if (complete === "country" && !given.some(({ order, claim }) => order.provesCountry(claim.size)))
    add("The bundle claims to hold a whole country, and the index does not show that no item is missing.");
  result.complete = complete;
}

// src/commands/verify-file.ts
function verifyFile(path, { policy, since, json = false, note }) {
  const found = verifyPath(path, { policy, since, note });
  const exitCode = exitCodes[found.verdict];
  const text = json ? JSON.stringify({ exitCode, ...found }, null, 2) : reportVerification(found, "bundle");
  return { text, exitCode };
}
function verifyPath(path, { policy, since, note }) {
  const nothing = { size: 0, read: () => Buffer.alloc(0) };
  const policyBytes = readSmall(policy);
  const sinceBytes = since === void 0 ? void 0 : readSmall(since);
  const file = attempt4(() => openSync(path, "r"));
  if (file === void 0 || policyBytes === void 0 || since !== void 0 && sinceBytes === void 0) {
    const says = "A file that was named can not be opened.";
    return {
      ...verifyBundle(nothing, { policy: Buffer.alloc(0) }),
      faults: [{ stage: "read", kind: "unreadable", says }],
      faultCount: 1
    };
  }
  try {
    return verifyBundle(openSource(file), { policy: policyBytes, since: sinceBytes, onProgress: note && tellProgress(note) });
  } finally {
    closeSync(file);
  }
}
function openSource(file) {
  const { size } = fstatSync(file);
  return {
    size,
    read: (position, length) => {
      const bytes2 = Buffer.allocUnsafeSlow(Math.max(0, Math.min(length, size - position)));
      let done = 0;
      while (done < bytes2.length) {
        const count2 = readSync(file, bytes2, done, bytes2.length - done, position + done);
        if (count2 === 0) throw new CrosslineError("broken_file", { detail: "The file became shorter while it was read." });
        done += count2;
      }
      return bytes2;
    }
  };
}
var quietMs = 2e3;
function tellProgress(note) {
  let saidAt = Date.now();
  return (done, total) => {
    if (Date.now() - saidAt < quietMs) return;
    saidAt = Date.now();
    note(`${Math.floor(100 * done / Math.max(total, 1))} %`);
  };
}
var readSmall = (path) => attempt4(() => readFileSync(path));
function attempt4(look) {
  try {
    return look();
  } catch {
    return void 0;
  }
}

// src/commands/verifier-main.ts
var usage = `usage: node crossline-verify.mjs <bundle.tar> --policy <policy.txt> [--since <old checkpoint>] [--json]

Verifies an audit bundle of Crossline. It reads the files that are named, nothing else: no network, no database.
Exit codes: 0 valid, 1 tampered, 2 incomplete or not witnessed enough, 3 unreadable, 4 asked wrongly.`;
function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { policy: { type: "string" }, since: { type: "string" }, json: { type: "boolean" } }
    });
    const [bundle, ...more] = positionals;
    if (bundle === void 0 || more.length > 0 || values.policy === void 0) return void 0;
    return { bundle, policy: values.policy, since: values.since, json: values.json === true };
  } catch {
    return void 0;
  }
}
var asked = readArguments();
if (asked) {
  const { bundle, ...options } = asked;
  const { text, exitCode } = verifyFile(bundle, { ...options, note: (line) => process.stderr.write(`${line}
`) });
  process.stdout.write(`${text}
`);
  process.exitCode = exitCode;
} else {
  process.stderr.write(`${usage}
`);
  process.exitCode = 4;
}
/*
With parts of csv-stringify:

The MIT License (MIT)

Copyright (c) 2010 Adaltas

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
*/
