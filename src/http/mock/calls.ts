/**
 * What a mock remembers of a request.
 */
import type { Params } from "./patterns.ts";

export class MockCall {
  readonly method: string;
  readonly url: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** What stood at the parameters of the route's URL. */
  readonly params: Params;
  /** Which attempt it was; more than 1 after a retry. */
  readonly attempt: number;
  /** When it came, on the loop's clock. */
  readonly at: number;

  /** @internal */
  constructor(parts: Pick<MockCall, "method" | "url" | "headers" | "body" | "params" | "attempt" | "at">) {
    this.method = parts.method;
    this.url = parts.url;
    this.headers = parts.headers;
    this.body = parts.body;
    this.params = parts.params;
    this.attempt = parts.attempt;
    this.at = parts.at;
  }

  /** The body as text. */
  get text(): string {
    return Buffer.from(this.body).toString("utf8");
  }

  /** The body as JSON. @throws {SyntaxError} when it is none. */
  json<T = unknown>(): T {
    return JSON.parse(this.text) as T;
  }
}
