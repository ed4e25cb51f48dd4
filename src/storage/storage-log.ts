// What this folder asks of a logger (pino's fits). Facts are ids, names of migrations, codes and ports: never an address with a login.
export interface StorageLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
}

/** For callers that want no log. */
export const silentLog: StorageLog = { info() {}, warn() {} }
