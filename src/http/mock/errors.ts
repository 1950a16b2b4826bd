/**
 * What a mock and a replay say when a test asks for what they do not have.
 */
import { FibrilError } from "../../core/index.ts";

/** No route fits a request. The message lists the routes and why each does not. Code: `MOCK_UNMATCHED`. */
export class UnmatchedRequestError extends FibrilError {
  readonly method: string;
  readonly url: string;

  constructor(method: string, url: string, routes: readonly string[]) {
    const known =
      routes.length === 0 ? "the mock has no routes; add one with mock.on()" : `the routes are:\n${list(routes)}`;
    super("MOCK_UNMATCHED", `no route of the mock answers ${method} ${url}; ${known}`);
    this.method = method;
    this.url = url;
  }
}

/** `mock.assertDone()`: routes that were not asked as often as was said. Code: `MOCK_NOT_DONE`. */
export class MockNotDoneError extends FibrilError {
  constructor(routes: readonly string[]) {
    super(
      "MOCK_NOT_DONE",
      `${routes.length} route(s) of the mock were not asked as often as expected:\n${list(routes)}`,
    );
  }
}

/** The recording has no answer to a request. The message lists what comes nearest. Code: `REPLAY_MISS`. */
export class ReplayMissError extends FibrilError {
  readonly method: string;
  readonly url: string;

  constructor(file: string, method: string, url: string, near: readonly string[]) {
    const known = near.length === 0 ? "it has nothing like it" : `what comes nearest:\n${list(near)}\n`;
    super(
      "REPLAY_MISS",
      `the recording ${file} has no answer to ${method} ${url}: ${known}; record it again with recordTransport(), or replay with mode "loose"`,
    );
    this.method = method;
    this.url = url;
  }
}

/** The file is no recording. Code: `REPLAY_FILE`. */
export class ReplayFileError extends FibrilError {
  constructor(file: string, problem: string, cause?: unknown) {
    super("REPLAY_FILE", `cannot replay ${file}: ${problem}; record it with recordTransport()`, { cause });
  }
}

function list(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join("\n");
}
