/**
 * The same work over HTTP, once for each client: GET and read the body, many at a time; or stream one big body.
 *
 * All stand in one file, so that one look shows that they do the same. Each loads its own library only when it is asked to
 * run. Every contestant gets keep-alive connections without a limit below the concurrency. Only `session` and the two
 * contestants that say so have a total time limit and can be cancelled: that is the point of the comparison.
 */
import type { Session as SessionOf } from "fibril/http";

/** Keeps `concurrency` requests in flight until `next()` is undefined; calls it for the URL of each. */
export type Batch = (
  next: () => string | undefined,
  concurrency: number,
  done: (startedAt: number) => void,
) => Promise<void>;

export interface Client {
  readonly batch: Batch;
  /** Reads one body piece by piece; gives its length. */
  readonly stream?: (url: string) => Promise<number>;
  close(): Promise<void>;
}

export interface Contestant {
  readonly name: string;
  readonly note?: string;
  open(origin: string, concurrency: number): Promise<Client>;
}

const TOTAL_MS = 30_000; // longer than anything measured: only what it costs to have the limit counts

export const contestants: readonly Contestant[] = [
  {
    name: "session",
    note: "with a total limit and cancellation",
    async open(_origin, concurrency) {
      const { EventLoop, Future, run, spawn } = await import("fibril");
      const { Session } = await import("fibril/http");
      const loop = new EventLoop();
      const opened = new Future<SessionOf>();
      const closing = new Future<void>({ external: true });
      const ended = run(
        function* () {
          opened.resolve(yield* Session.open({ limit: concurrency, timeout: { totalMs: TOTAL_MS } }));
          yield* closing;
        },
        { loop },
      );
      const session = await opened;
      return {
        async batch(next, lanes, done) {
          function* lane() {
            for (let url = next(); url !== undefined; url = next()) {
              const startedAt = performance.now();
              const response = yield* session.get(url);
              yield* response.text();
              done(startedAt);
            }
          }
          await loop.spawn(function* () {
            for (let i = 0; i < lanes; i++) spawn(lane);
          });
        },
        stream: async (url) =>
          await loop.spawn(function* () {
            const response = yield* session.get(url, { maxBodyBytes: Infinity });
            let length = 0;
            for (let chunk = yield* response.chunk(); chunk !== undefined; chunk = yield* response.chunk()) {
              length += chunk.byteLength;
            }
            return length;
          }),
        async close() {
          closing.resolve();
          await ended;
        },
      };
    },
  },
  {
    name: "pool.request",
    async open(origin) {
      const { Pool } = await import("undici");
      const pool = new Pool(origin);
      return promises(
        async (url) => {
          const { body } = await pool.request({ path: url.slice(origin.length), method: "GET" });
          await body.text();
        },
        () => pool.close(),
        async (url) => {
          const { body } = await pool.request({ path: url.slice(origin.length), method: "GET" });
          let length = 0;
          for await (const chunk of body) length += (chunk as Uint8Array).byteLength;
          return length;
        },
      );
    },
  },
  {
    name: "pool.dispatch",
    note: "callbacks, no promise in between",
    async open(origin) {
      const { Pool } = await import("undici");
      const pool = new Pool(origin);
      return promises(
        (url) =>
          new Promise<void>((resolve, reject) => {
            const chunks: Uint8Array[] = [];
            pool.dispatch(
              { path: url.slice(origin.length), method: "GET" },
              {
                onRequestStart() {},
                onResponseStart() {},
                onResponseData: (_controller, chunk) => void chunks.push(chunk),
                onResponseEnd() {
                  Buffer.concat(chunks).toString();
                  resolve();
                },
                onResponseError: (_controller, error) => reject(error),
              },
            );
          }),
        () => pool.close(),
      );
    },
  },
  {
    name: "undici.request",
    async open() {
      const { Agent, request } = await import("undici");
      const dispatcher = new Agent();
      return promises(
        async (url) => {
          const { body } = await request(url, { dispatcher });
          await body.text();
        },
        () => dispatcher.close(),
      );
    },
  },
  {
    name: "undici.request, any([signal, timeout])",
    note: "with a total limit and cancellation",
    async open() {
      const { Agent, request } = await import("undici");
      const dispatcher = new Agent();
      const root = new AbortController();
      return promises(
        async (url) => {
          const signal = AbortSignal.any([root.signal, AbortSignal.timeout(TOTAL_MS)]);
          const { body } = await request(url, { dispatcher, signal });
          await body.text();
        },
        () => dispatcher.close(),
      );
    },
  },
  {
    name: "undici.stream",
    async open() {
      const { Agent, stream } = await import("undici");
      const { Writable } = await import("node:stream");
      const dispatcher = new Agent();
      const read = async (url: string): Promise<number> => {
        let length = 0;
        await stream(
          url,
          { dispatcher, method: "GET" },
          () =>
            new Writable({
              write(chunk: Uint8Array, _encoding, callback) {
                length += chunk.byteLength;
                callback();
              },
            }),
        );
        return length;
      };
      return promises(
        async (url) => void (await read(url)),
        () => dispatcher.close(),
        read,
      );
    },
  },
  {
    name: "node:http",
    async open() {
      const { Agent, get } = await import("node:http");
      const agent = new Agent({ keepAlive: true });
      return promises(
        (url) =>
          new Promise<void>((resolve, reject) => {
            get(url, { agent }, (response) => {
              response.setEncoding("utf8");
              let text = "";
              response.on("data", (chunk: string) => (text += chunk));
              response.once("end", () => resolve());
            }).once("error", reject);
          }),
        async () => agent.destroy(),
      );
    },
  },
  {
    name: "fetch",
    note: "built in",
    async open() {
      return promises(
        async (url) => {
          const response = await fetch(url);
          await response.text();
        },
        async () => {},
        async (url) => {
          const response = await fetch(url);
          const reader = response.body!.getReader();
          let length = 0;
          for (let part = await reader.read(); !part.done; part = await reader.read()) length += part.value.byteLength;
          return length;
        },
      );
    },
  },
  {
    name: "got",
    async open() {
      const { default: got } = await import("got");
      const { Agent } = await import("node:http");
      const agent = new Agent({ keepAlive: true });
      return promises(
        async (url) => void (await got(url, { agent: { http: agent }, retry: { limit: 0 } }).text()),
        async () => agent.destroy(),
      );
    },
  },
  {
    name: "axios",
    async open() {
      const { default: axios } = await import("axios");
      const { Agent } = await import("node:http");
      const httpAgent = new Agent({ keepAlive: true });
      const client = axios.create({ httpAgent, responseType: "text" });
      return promises(
        async (url) => void (await client.get<string>(url)),
        async () => httpAgent.destroy(),
      );
    },
  },
  {
    name: "ky",
    async open() {
      const { default: ky } = await import("ky");
      return promises(
        async (url) => void (await ky(url, { retry: 0 }).text()),
        async () => {},
      );
    },
  },
];

function promises(
  once: (url: string) => Promise<void>,
  close: () => Promise<void>,
  stream?: (url: string) => Promise<number>,
): Client {
  return {
    async batch(next, lanes, done) {
      const lane = async (): Promise<void> => {
        for (let url = next(); url !== undefined; url = next()) {
          const startedAt = performance.now();
          await once(url);
          done(startedAt);
        }
      };
      await Promise.all(Array.from({ length: lanes }, lane));
    },
    close,
    ...(stream === undefined ? {} : { stream }),
  };
}
