/**
 * Whole pipelines of Node's streams as one operation.
 */
import type { Readable, Writable } from "node:stream";
import { pipeline as nodePipeline } from "node:stream/promises";
import { Cancelled, Scope, sequenceOf, until, UsageError } from "../../core/index.ts";
import type { Coroutine, SequenceSource } from "../../core/index.ts";
import { fromReadableStream } from "../web-stream.ts";
import { toReadable } from "./readable.ts";

/**
 * Connects a source, any number of transforms and a target, and waits until everything has arrived: `pipeline` of
 * `node:stream/promises`, for coroutines. The source may also be a sequence or anything iterable.
 *
 * Cancelling destroys all streams and waits until Node says that they are done; what has been written stays written.
 * @throws the first error of one of the streams, which all are destroyed then.
 * @example
 * yield* pipeline(createReadStream("a"), createGzip(), createWriteStream("a.gz"));
 */
export function* pipeline(
  source: Readable | SequenceSource<unknown>,
  ...streams: readonly Writable[]
): Coroutine<void> {
  if (streams.length === 0) throw new UsageError("pipeline() takes a source and at least one stream to write to");
  const own = Scope.enter({ name: "pipeline" });
  yield* own.run(flow(source, streams));
  if (own.isCaught) throw own.asError();
}

function* flow(source: Readable | SequenceSource<unknown>, streams: readonly Writable[]): Coroutine<void> {
  const abort = new AbortController();
  const chain = [streamOf(source), ...streams] as unknown as NodeJS.WritableStream[];
  const done = nodePipeline(chain, { signal: abort.signal });
  try {
    yield* until(done);
  } catch (error) {
    if (!(error instanceof Cancelled)) throw error;
    abort.abort();
    yield* until(done.catch(() => {}));
    throw error;
  }
}

/**
 * The source as a stream that ends when it is destroyed. Node asks iterables and web streams itself, but then waits for their
 * answer, also after an abort: a generator that is silent for ever would keep it.
 */
function streamOf(source: Readable | SequenceSource<unknown>): Readable {
  const it = source as Partial<Readable & ReadableStream> | null | undefined;
  if (typeof it?.pipe === "function") return source as Readable;
  const isWebStream = typeof it?.getReader === "function";
  return toReadable(isWebStream ? fromReadableStream(source as ReadableStream<unknown>) : sequenceOf(source));
}
