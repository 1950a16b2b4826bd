/**
 * What can go wrong at the borders to Node's streams and signals.
 */
import { FibrilError } from "../../core/index.ts";

/**
 * A stream was closed before its end, or is used after it. Code: `STREAM_CLOSED`. Where the stream itself gave an error, that very
 * error is thrown instead.
 */
export class StreamClosedError extends FibrilError {
  constructor(message: string, options?: ErrorOptions) {
    super("STREAM_CLOSED", message, options);
  }
}

/** What `finished` of `node:stream` said: the stream's own error as it is, a premature close as ours. @package */
export function streamFailure(what: string, error: Error): unknown {
  if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") return error;
  return new StreamClosedError(
    `${what} was closed before its end; somebody destroyed it, or the other side went away`,
    {
      cause: error,
    },
  );
}
