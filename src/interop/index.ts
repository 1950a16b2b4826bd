/**
 * The borders to promises, signals, events and streams of the platform: for browsers, Deno, Bun and Node alike.
 */

// Promises.
export { until } from "../core/index.ts";
export { asyncFunction, toPromise } from "./promise.ts";
export type { AsyncFunctionOptions, PromiseOptions } from "./promise.ts";

// AbortSignal.
export { aborted, withSignal } from "./abort-signal.ts";
export type { AbortedOptions } from "./abort-signal.ts";
export { scopeSignal } from "./scope-signal.ts";

// Async iterables and web streams.
export { sequenceOf } from "../core/index.ts";
export type { Sequence, SequenceSource } from "../core/index.ts";
export { toAsyncIterable } from "./async-iterable.ts";
export type { AsyncIterableOptions, SequenceIterator } from "./async-iterable.ts";
export { fromReadableStream, toReadableStream } from "./web-stream.ts";
export type { ReadableStreamOptions } from "./web-stream.ts";

// Events.
export { EventOverflowError } from "./errors.ts";
export { EventSequence } from "./event-sequence.ts";
export type { Attach, EventIntake, EventSequenceOptions, EventStatistics, Overflow } from "./event-sequence.ts";
export { on, once } from "./event-target.ts";
export type { OnceOptions } from "./event-target.ts";
