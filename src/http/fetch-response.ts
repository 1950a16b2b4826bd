/**
 * A response of ours as the standard `Response`, with a body that comes as it is read.
 *
 * The platform's constructor cannot set `url`, `redirected` and `type`, so they are put on the object; `clone` would lose them, so
 * it is wrapped. The stream asks for the next piece only when somebody reads, so the connection is held back while nobody
 * does. Pieces are copied into it, since a byte stream takes the memory that it is given, and ours may share it.
 */
import type { HttpResponse } from "./response.ts";

const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/**
 * @param translate What the stream fails with, from what the body failed with.
 * @throws {RangeError} when the status is none that a `Response` may have.
 */
export function toStandardResponse(response: HttpResponse, translate: (error: unknown) => unknown): Response {
  const { status, statusText } = response;
  const headers = new Headers();
  for (const [name, value] of response.headers) headers.append(name, value);
  const hasBody = response.method !== "HEAD" && !WITHOUT_BODY.has(status);
  const init = { status, statusText: /^[\t\x20-\x7e\x80-\xff]*$/.test(statusText) ? statusText : "", headers };
  let standard: Response;
  try {
    standard = new Response(hasBody ? streamOf(response, translate) : null, init);
  } catch (error) {
    response.close(); // such a status
    throw error;
  }
  if (!hasBody) response.close();
  return told(standard, response.url, response.redirects.length > 0);
}

function told(standard: Response, url: string, redirected: boolean): Response {
  const clone = (): Response => told(Response.prototype.clone.call(standard) as Response, url, redirected);
  return Object.defineProperties(standard, {
    url: { value: url },
    redirected: { value: redirected },
    type: { value: "basic" },
    clone: { value: clone },
  });
}

function streamOf(response: HttpResponse, translate: (error: unknown) => unknown): ReadableStream<Uint8Array> {
  const chunks = response[Symbol.asyncIterator]();
  return new ReadableStream({
    type: "bytes",
    async pull(controller) {
      let step: IteratorResult<Uint8Array, unknown>;
      try {
        do step = await chunks.next();
        while (step.done !== true && step.value.byteLength === 0);
      } catch (error) {
        controller.error(translate(error));
        return;
      }
      if (step.done !== true) return controller.enqueue(new Uint8Array(step.value));
      controller.close();
      controller.byobRequest?.respond(0);
    },
    cancel: () => response.close(),
  });
}
