/**
 * The borders to what only Node has: emitters, streams, callbacks, signals, stores, processes, files.
 */

// Emitters.
export { on, once } from "./emitter.ts";
export type { OnceOptions, OnOptions } from "./emitter.ts";

// Streams.
export { fromReadable, toReadable } from "./readable.ts";
export type { FromReadableOptions, ToReadableOptions } from "./readable.ts";
export { writeAll, writer } from "./writable.ts";
export type { StreamWriter, WriteAllOptions, WriterOptions, WriterStatistics } from "./writable.ts";
export { pipeline } from "./stream.ts";

// Callbacks and signals.
export { fromCallback } from "./callback.ts";
export type { Callback, CallbackOptions } from "./callback.ts";
export { signals, waitForSignal } from "./signals.ts";

// AsyncLocalStorage for each task.
export { nodeAsyncContext, withStore } from "./async-context.ts";

// Processes.
export { exec } from "./exec.ts";
export type { ExecOptions, ExecResult, OutputHandler } from "./exec.ts";
export { spawnProcess, Subprocess } from "./process.ts";
export type { ProcessStatistics, ProcessStdio, SpawnProcessOptions } from "./process.ts";
export { ProcessError, ProcessInputError, ProcessOutputLimitError, ProcessSpawnError } from "./process-errors.ts";
export type { ProcessExit } from "./process-errors.ts";
export type { ProcessInput, ProcessInputStatistics } from "./process-input.ts";
export type { LineOptions, ProcessOutput } from "./process-output.ts";

// Files.
export { watch } from "./watch.ts";
export type { FileChange, WatchOptions } from "./watch.ts";
export { FileWatchError } from "./watch-errors.ts";

// What can go wrong.
export { StreamClosedError } from "./errors.ts";
