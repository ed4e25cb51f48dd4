// A second reader of strict I-JSON, written from the grammar of RFC 8259 character by character, to compare the fast one with.

const maxDepth = 32

/** The value of a strict I-JSON text. Throws for any other. */
export function parseSlowly(text: string): unknown {
  if (/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text)) throw new Error('surrogate')
  const reader = new Reader(text)
  const value = reader.value(0)
  reader.space()
  if (reader.at !== text.length) throw new Error('rest')
  return value
}

class Reader {
  at = 0
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  space(): void {
    while (' \t\n\r'.includes(this.text[this.at] ?? 'x')) this.at++
  }

  take(pattern: RegExp): string {
    const match = new RegExp(pattern, 'y')
    match.lastIndex = this.at
    const found = match.exec(this.text)?.[0]
    if (found === undefined) throw new Error('grammar')
    this.at += found.length
    return found
  }

  value(depth: number): unknown {
    this.space()
    const next = this.text[this.at]
    if (next === '{') return this.object(depth + 1)
    if (next === '[') return this.array(depth + 1)
    if (next === '"') return this.string()
    if (next === '-' || (next !== undefined && next >= '0' && next <= '9')) return this.number()
    return { true: true, false: false, null: null }[this.take(/true|false|null/)]
  }

  number(): number {
    const text = this.take(/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/)
    if (!/^(?:0|-?[1-9][0-9]*)$/.test(text)) throw new Error('no plain integer')
    const exact = BigInt(text)
    if (exact >= 2n ** 53n || exact <= -(2n ** 53n)) throw new Error('too large')
    return Number(exact)
  }

  string(): string {
    this.take(/"/)
    let units = ''
    for (let unit = this.unit(); unit !== undefined; unit = this.unit()) units += unit
    for (const character of units) {
      const code = character.codePointAt(0) as number
      if (code === 0 || (code >= 0xd800 && code <= 0xdfff)) throw new Error('character')
    }
    return units
  }

  unit(): string | undefined {
    const next = this.take(/[\s\S]/)
    if (next < ' ') throw new Error('control character')
    if (next === '"') return undefined
    if (next !== '\\') return next
    const escaped = this.take(/["\\/bfnrt]|u[0-9a-fA-F]{4}/)
    if (escaped[0] === 'u') return String.fromCharCode(Number.parseInt(escaped.slice(1), 16))
    return { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }[escaped] ?? escaped
  }

  array(depth: number): unknown[] {
    const values: unknown[] = []
    this.list(']', depth, () => values.push(this.value(depth)))
    return values
  }

  object(depth: number): Record<string, unknown> {
    const members = new Map<string, unknown>()
    this.list('}', depth, () => {
      this.space()
      const name = this.string()
      if (members.has(name)) throw new Error('twice')
      this.space()
      this.take(/:/)
      members.set(name, this.value(depth))
    })
    return Object.fromEntries(members)
  }

  list(end: string, depth: number, readOne: () => void): void {
    if (depth > maxDepth) throw new Error('deep')
    this.at++
    this.space()
    if (this.text[this.at] === end) {
      this.at++
      return
    }
    for (;;) {
      readOne()
      this.space()
      if (this.take(/[,\]}]/) === ',') continue
      if (this.text[this.at - 1] !== end) throw new Error('bracket')
      return
    }
  }
}
