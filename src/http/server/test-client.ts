/**
 * A handler under test: a server on loopback, on a port that the system chooses, and a session that talks to it.
 *
 * Real sockets, so that what is tested is what runs; all of it ends with the scope of the test.
 */
import type { Coroutine, Operation } from "../../core/index.ts";
import type { HttpResponse } from "../response.ts";
import { Session } from "../session.ts";
import type { RequestOptions, SessionOptions } from "../options.ts";
import type { Handler } from "./listener.ts";
import { serve } from "./serve.ts";
import type { HttpServer, ServeOptions } from "./serve.ts";

export interface TestClientOptions extends ServeOptions {
  /** Of the session. */
  readonly session?: Omit<SessionOptions, "baseUrl">;
}

/**
 * @example
 * test("greets", () => run(function* () {
 *   const client = yield* TestClient.open(app);
 *   const response = yield* client.get("hello?name=Ada");
 *   expect(yield* response.text()).toBe("hello Ada");
 * }));
 */
export class TestClient {
  readonly server: HttpServer;
  /** Relative URLs lead to the server. */
  readonly session: Session;

  private constructor(server: HttpServer, session: Session) {
    this.server = server;
    this.session = session;
  }

  /** Opens server and session; both are closed at the end of the current scope, the session first. `drainMs` is 0 by default. */
  static *open(handler: Handler, options: TestClientOptions = {}): Coroutine<TestClient> {
    const { session, ...rest } = options;
    const server = yield* serve(handler, { drainMs: 0, ...rest });
    return new TestClient(server, yield* Session.open({ ...session, baseUrl: `${server.url}/` }));
  }

  /** `http://127.0.0.1:40123` */
  get url(): string {
    return this.server.url;
  }

  get(url: string, options?: RequestOptions): Operation<HttpResponse> {
    return this.session.get(url, options);
  }

  post(url: string, options?: RequestOptions): Operation<HttpResponse> {
    return this.session.post(url, options);
  }

  request(method: string, url: string, options?: RequestOptions): Operation<HttpResponse> {
    return this.session.request(method, url, options);
  }
}
