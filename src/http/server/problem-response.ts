/**
 * Writes a failure to a response of node: problem+json, or the end of the connection when it is too late for that.
 */
import type { ServerResponse } from "node:http";
import { exposedFailure, PROBLEM_TYPE } from "./failure.ts";

/** What described the body that is not sent after all. */
const OF_THE_BODY = /^(?:content-|etag$|last-modified$|cache-control$|expires$|transfer-encoding$|trailer$)/;

/** Ends a response in the middle, so that the client sees it. */
export function cutResponse(response: ServerResponse): void {
  if (response.req.httpVersionMajor === 1) response.destroy();
  else (response as unknown as Http2Response).stream.close(INTERNAL_ERROR); // destroyed, it would look as if it had come to its end
}

interface Http2Response {
  readonly stream: { close(code: number): void };
}

const INTERNAL_ERROR = 2; // RFC 9113 §7

/**
 * Headers that a handler has set stay (CORS, cookies), except those of the body. After the headers were sent the connection is destroyed:
 * half an answer must not look whole.
 */
export function sendFailure(response: ServerResponse, error: unknown): void {
  if (response.writableEnded) return;
  if (response.headersSent) {
    cutResponse(response);
    return;
  }
  const failure = exposedFailure(error);
  for (const name of response.getHeaderNames()) if (OF_THE_BODY.test(name)) response.removeHeader(name);
  const isHttp1 = response.req.httpVersionMajor === 1;
  for (const [name, value] of Object.entries(failure.headers)) {
    if (isHttp1 || name.toLowerCase() !== "connection") response.setHeader(name, value); // HTTP/2 has no such header
  }
  const body = JSON.stringify(failure.toProblem());
  response.statusCode = failure.status;
  response.setHeader("content-type", PROBLEM_TYPE);
  response.setHeader("content-length", Buffer.byteLength(body));
  response.end(body);
}
