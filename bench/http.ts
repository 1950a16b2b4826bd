/**
 * `node --conditions=fibril-source bench/http.ts`: requests over HTTP, `Session` against undici and fetch.
 *
 * A server in a process of its own answers 512 bytes at once; each contestant runs in a fresh process that keeps C requests
 * in flight; rounds are interleaved, and every figure is the median over the rounds. CPU time for a request is the
 * figure to look at: the rate depends on what else the cores do, the server first of all. Ratios are taken inside a round.
 */
import { spawn as spawnProcess } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Session as SessionOf } from "fibril/http";

const USAGE = `bench/http.ts [options]

  --rounds N         default 5
  --concurrency N,…  requests in flight; default 50,500
  --requests N       timed requests of each run; default 30000
  --only A[,B…]      these contestants only
  --json             print JSON and nothing else
`;

const WARM_UP_REQUESTS = 10_000; // until the rate no longer rises
const TIMEOUT_MS = 10_000;

type Batch = (requests: number, concurrency: number) => Promise<void>;

interface Contestant {
  readonly name: string;
  /** Makes what runs a batch, and what closes it. */
  readonly open: (origin: string, concurrency: number) => Promise<{ batch: Batch; close: () => Promise<void> }>;
}

interface Sample {
  readonly rate: number;
  readonly cpuUs: number;
}

const contestants: readonly Contestant[] = [
  {
    name: "pool.request",
    async open(origin) {
      const { Pool } = await import("undici");
      const pool = new Pool(origin);
      const once = async (): Promise<void> => {
        const { body } = await pool.request({ path: "/", method: "GET" });
        await body.text();
      };
      return { batch: inLanes(once), close: () => pool.close() };
    },
  },
  {
    name: "session",
    async open(origin, concurrency) {
      const { EventLoop, Future, run, spawn } = await import("fibril");
      const { Session } = await import("fibril/http");
      const url = `${origin}/`;
      const loop = new EventLoop();
      const opened = new Future<SessionOf>();
      const closing = new Future<void>({ external: true });
      const ended = run(
        function* () {
          opened.resolve(yield* Session.open({ limit: concurrency, timeout: { totalMs: TIMEOUT_MS } }));
          yield* closing;
        },
        { loop },
      );
      const session = await opened;
      let left = 0;
      function* lane() {
        while (left-- > 0) {
          const response = yield* session.get(url);
          yield* response.text();
        }
      }
      const batch: Batch = async (requests) => {
        left = requests;
        await loop.spawn(function* () {
          for (let i = 0; i < concurrency; i++) spawn(lane);
        });
      };
      const close = async (): Promise<void> => {
        closing.resolve();
        await ended;
      };
      return { batch, close };
    },
  },
  {
    name: "undici.request",
    async open(origin) {
      const { Agent, request } = await import("undici");
      const dispatcher = new Agent();
      const once = async (): Promise<void> => {
        const { body } = await request(`${origin}/`, { dispatcher });
        await body.text();
      };
      return { batch: inLanes(once), close: () => dispatcher.close() };
    },
  },
  {
    name: "undici.request, any([signal, timeout])",
    async open(origin) {
      const { Agent, request } = await import("undici");
      const dispatcher = new Agent();
      const root = new AbortController();
      const once = async (): Promise<void> => {
        const signal = AbortSignal.any([root.signal, AbortSignal.timeout(TIMEOUT_MS)]);
        const { body } = await request(`${origin}/`, { dispatcher, signal });
        await body.text();
      };
      return { batch: inLanes(once), close: () => dispatcher.close() };
    },
  },
  {
    name: "fetch",
    async open(origin) {
      const once = async (): Promise<void> => {
        const response = await fetch(`${origin}/`);
        await response.text();
      };
      return { batch: inLanes(once), close: async () => {} };
    },
  },
];

function inLanes(once: () => Promise<void>): Batch {
  return async (requests, concurrency) => {
    let left = requests;
    const lane = async (): Promise<void> => {
      while (left-- > 0) await once();
    };
    await Promise.all(Array.from({ length: concurrency }, lane));
  };
}

const [role, ...rest] = process.argv.slice(2);
if (role === "server") serve();
else if (role === "client") await runClient(rest);
else await main();

function serve(): void {
  const body = Buffer.alloc(512, "x");
  const server = createServer({ keepAliveTimeout: 60_000 }, (_request, response) => {
    response.writeHead(200, { "content-type": "text/plain", "content-length": body.length }).end(body);
  });
  server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
}

async function runClient([name, origin, concurrency, requests]: string[]): Promise<void> {
  const lanes = Number(concurrency);
  const count = Number(requests);
  const { batch, close } = await contestants.find((each) => each.name === name)!.open(origin!, lanes);
  await batch(WARM_UP_REQUESTS, lanes);
  const startedAt = performance.now();
  const cpuBefore = process.cpuUsage();
  await batch(count, lanes);
  const cpu = process.cpuUsage(cpuBefore);
  const ms = performance.now() - startedAt;
  await close();
  const sample: Sample = { rate: (count / ms) * 1000, cpuUs: (cpu.user + cpu.system) / count };
  console.log(JSON.stringify(sample));
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      rounds: { type: "string", default: "5" },
      concurrency: { type: "string", default: "50,500" },
      requests: { type: "string", default: "30000" },
      only: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (options.help) {
    process.stdout.write(USAGE);
    return;
  }
  const chosen = contestants.filter(({ name }) => options.only === undefined || options.only.split(",").includes(name));
  const server = child(["server"]);
  try {
    const origin = `http://127.0.0.1:${(await server.firstLine).trim()}`;
    const rows = [];
    for (const concurrency of options.concurrency.split(",").map(Number)) {
      const samples = new Map<string, Sample[]>(chosen.map(({ name }) => [name, []]));
      for (let round = 0; round < Number(options.rounds); round++) {
        for (const { name } of chosen) {
          const { firstLine } = child(["client", name, origin, String(concurrency), options.requests]);
          samples.get(name)!.push(JSON.parse(await firstLine) as Sample);
        }
      }
      const session = samples.get("session");
      for (const [name, own] of samples) {
        rows.push({
          name,
          concurrency,
          requestsPerSecond: Math.round(median(own.map(({ rate }) => rate))),
          cpuUsPerRequest: Number(median(own.map(({ cpuUs }) => cpuUs)).toFixed(1)),
          ...(session === undefined
            ? {}
            : {
                sessionRate: Number(median(own.map(({ rate }, i) => session[i]!.rate / rate)).toFixed(2)),
                sessionCpu: Number(median(own.map(({ cpuUs }, i) => session[i]!.cpuUs / cpuUs)).toFixed(2)),
              }),
        });
      }
    }
    if (options.json) console.log(JSON.stringify({ rows }, null, 2));
    else console.table(rows);
  } finally {
    server.end();
  }
}

/** Runs this file again, in a process of its own. */
function child(args: readonly string[]): { readonly firstLine: Promise<string>; end(): void } {
  const started = spawnProcess(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const firstLine = new Promise<string>((resolve, reject) => {
    started.stdout.once("data", (data: Buffer) => resolve(data.toString()));
    started.once("exit", (code) => reject(new Error(`${args.join(" ")} ended with ${code} and said nothing`)));
  });
  return { firstLine, end: () => void started.kill() };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
