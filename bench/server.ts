/**
 * What a coroutine handler costs beside an async handler that does the same, on node:http, fastify and hono.
 *
 * Pairs: both servers of a pair run all the time, and wrk asks them in turn, so that both see the same machine. Each request waits
 * once, for one `setImmediate`. Compared are medians of the ratios of each round; CPU time a request is steadier than the rate. One
 * process is not like the next of the same program (what the engine has compiled when: CPU a request differs by 20 %), so there are
 * several pairs, and what each of them gave is told, too.
 *
 * Then, on node:http: memory and listeners of a request in flight, and clients that leave.
 */
import { spawn as spawnProcess } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createServer } from "node:http";
import type { RequestListener, Server, ServerResponse } from "node:http";
import { connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { EventLoop, Future } from "fibril";
import { Wait } from "fibril/lowlevel";
import type { Started, Waiter } from "fibril/lowlevel";

const USAGE = `bench/server.ts [options]      needs wrk

  --processes N       pairs of fresh processes for each framework; default 5
  --rounds N          for each pair; default 3
  --seconds N         of each run of wrk; default 1
  --connections N     default 50
  --only A[,B…]       node, fastify, hono
  --pairs-only        without memory and disconnects
  --requests N        in flight, for memory; default 5000
  --disconnects N     default 10000
  --json              print JSON and nothing else
`;

const FRAMEWORKS = ["node", "fastify", "hono"] as const;
const KINDS = ["async", "coroutine"] as const;
type Framework = (typeof FRAMEWORKS)[number];
type Kind = (typeof KINDS)[number];

const BODY = "hello world";

/** One turn of the host, as a wait. */
class Immediate extends Wait<void> {
  #immediate: NodeJS.Immediate | null = null;

  get reason(): string {
    return "setImmediate";
  }

  override get external(): boolean {
    return true;
  }

  protected start(task: Waiter): Started<void> {
    this.#immediate = setImmediate(wake, task, this);
    return task.park(this);
  }

  withdraw(): boolean {
    clearImmediate(this.#immediate!);
    return true;
  }
}

function wake(task: Waiter, wait: Immediate): void {
  task.wake(wait, undefined);
}

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A server that tells its port, and its CPU time whenever it is asked. */
async function serve(framework: Framework, kind: Kind): Promise<void> {
  console.log(await listen(framework, kind));
  for await (const line of createInterface(process.stdin)) {
    if (line === "cpu") {
      const { user, system } = process.cpuUsage();
      console.log(user + system);
    }
  }
  process.exit(0);
}

async function listen(framework: Framework, kind: Kind): Promise<number> {
  if (framework === "node") return await listening(createServer(await nodeListener(kind)));
  if (framework === "fastify") {
    const { default: fastify } = await import("fastify");
    const { coroutines } = await import("fibril/http/server/fastify");
    const app = fastify();
    coroutines(app);
    if (kind === "coroutine") {
      app.get("/", function* () {
        yield* new Immediate();
        return BODY;
      });
    } else {
      app.get("/", async () => {
        await immediate();
        return BODY;
      });
    }
    await app.listen({ port: 0, host: "127.0.0.1" });
    return (app.server.address() as AddressInfo).port;
  }
  const { Hono } = await import("hono");
  const { serve: serveHono } = await import("@hono/node-server");
  const { handler } = await import("fibril/http/server/hono");
  const app = new Hono();
  if (kind === "coroutine") {
    app.get(
      "/",
      handler(function* (c) {
        yield* new Immediate();
        return c.text(BODY);
      }),
    );
  } else {
    app.get("/", async (c) => {
      await immediate();
      return c.text(BODY);
    });
  }
  return await new Promise((resolve) => {
    serveHono({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) => resolve(port));
  });
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

async function nodeListener(kind: Kind): Promise<RequestListener> {
  const { listener } = await import("fibril/http/server");
  if (kind === "async") return (_request, response) => void answerLater(response);
  return listener(function* (_request, response) {
    yield* new Immediate();
    finish(response);
  });
}

async function answerLater(response: ServerResponse): Promise<void> {
  await immediate();
  finish(response);
}

function finish(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/plain", "content-length": BODY.length });
  response.end(BODY);
}

/** A server whose handlers wait for ever; asked for "heap" it tells its memory, and how many listeners a response has. */
async function hold(kind: Kind): Promise<void> {
  const { listener } = await import("fibril/http/server");
  let listeners = 0;
  const note = (response: ServerResponse): void => {
    listeners = response.eventNames().reduce((sum, event) => sum + response.listenerCount(event), 0);
  };
  const never = new Future<void>({ external: true });
  const wait = async (): Promise<void> => await new Promise<void>(() => {});
  const plain: RequestListener = (_request, response) => {
    setImmediate(note, response); // a coroutine's is made once it waits
    void wait();
  };
  const coroutine = listener(function* (_request, response) {
    setImmediate(note, response);
    yield* never;
  });
  console.log(await listening(createServer({ requestTimeout: 0 }, kind === "async" ? plain : coroutine)));
  for await (const line of createInterface(process.stdin)) {
    if (line !== "heap") continue;
    for (let i = 0; i < 3; i++) globalThis.gc!();
    console.log(`${process.memoryUsage().heapUsed} ${listeners}`);
  }
  process.exit(0);
}

/** Clients that leave while their handler waits: how many were cancelled, and what is left. */
async function disconnect(count: number): Promise<void> {
  const { listener } = await import("fibril/http/server");
  const loop = new EventLoop();
  const never = new Future<void>({ external: true });
  let begun = 0;
  let cancelled = 0;
  const listen = listener(
    function* () {
      begun++;
      try {
        yield* never;
      } finally {
        cancelled++;
      }
    },
    { loop },
  );
  const server = createServer(listen);
  const port = await listening(server);
  const startedAt = performance.now();
  const AT_ONCE = 100;
  for (let i = 0; i < count; i += AT_ONCE) {
    const sockets: Socket[] = [];
    for (let j = i; j < Math.min(count, i + AT_ONCE); j++) {
      const socket = connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
      socket.on("error", () => undefined);
      sockets.push(socket);
    }
    while (begun < i + sockets.length) await immediate();
    for (const socket of sockets) socket.destroy();
  }
  while (cancelled < count && performance.now() - startedAt < 60_000) await immediate();
  const ms = performance.now() - startedAt;
  await new Promise<void>((resolve) => void server.close(() => resolve()));
  const { active, handlers } = listen.statistics();
  await loop.spawn(() => listen.close());
  const { tasks, timers, outside } = loop.statistics();
  console.log(
    JSON.stringify({ count, begun, cancelled, ms: Math.round(ms), left: { active, handlers, tasks, timers, outside } }),
  );
}

interface Pair {
  readonly framework: Framework;
  readonly asyncRate: number;
  readonly coroutineRate: number;
  readonly asyncCpuUs: number;
  readonly coroutineCpuUs: number;
  /** Coroutine to async, medians of all rounds. */
  readonly rate: number;
  readonly cpu: number;
  /** The median of each pair of processes, in order of size. */
  readonly cpuOfPairs: string;
}

interface Sample {
  readonly rate: number;
  readonly cpuUs: number;
}

/** One round: what wrk found of the one, then of the other. */
type Round = Readonly<Record<Kind, Sample>>;

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      processes: { type: "string", default: "5" },
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "1" },
      connections: { type: "string", default: "50" },
      only: { type: "string", default: FRAMEWORKS.join(",") },
      "pairs-only": { type: "boolean", default: false },
      requests: { type: "string", default: "5000" },
      disconnects: { type: "string", default: "10000" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (options.help) {
    process.stdout.write(USAGE);
    return;
  }
  const pairs: Pair[] = [];
  for (const framework of FRAMEWORKS.filter((it) => options.only.split(",").includes(it))) {
    const measured: Round[][] = [];
    for (let process = 0; process < Number(options.processes); process++) {
      measured.push(await measurePair(framework, Number(options.rounds), options.seconds, options.connections));
    }
    pairs.push(summaryOf(framework, measured));
  }
  const extra = options["pairs-only"]
    ? {}
    : {
        inFlight: await measureInFlight(Number(options.requests)),
        disconnects: await measureDisconnects(options.disconnects),
      };
  if (options.json) console.log(JSON.stringify({ node: process.version, pairs, ...extra }, null, 2));
  else {
    console.table(pairs);
    for (const [name, value] of Object.entries(extra)) console.log(name, value);
  }
}

/** A fresh process for each of the two. */
async function measurePair(
  framework: Framework,
  rounds: number,
  seconds: string,
  connections: string,
): Promise<Round[]> {
  const servers = {
    async: new Child(["serve", framework, "async"]),
    coroutine: new Child(["serve", framework, "coroutine"]),
  };
  try {
    const urls = {
      async: `http://127.0.0.1:${await servers.async.line()}/`,
      coroutine: `http://127.0.0.1:${await servers.coroutine.line()}/`,
    };
    const measured: Round[] = [];
    for (let round = -1; round < rounds; round++) {
      const found: Partial<Record<Kind, Sample>> = {};
      for (const kind of round % 2 === 0 ? KINDS : [...KINDS].reverse()) {
        const before = Number(await servers[kind].ask("cpu"));
        const { requests, perSecond } = await wrk(urls[kind], seconds, connections);
        found[kind] = { rate: perSecond, cpuUs: (Number(await servers[kind].ask("cpu")) - before) / requests };
      }
      if (round >= 0) measured.push(found as Round); // the first one warms up
    }
    return measured;
  } finally {
    for (const server of Object.values(servers)) server.end();
  }
}

function summaryOf(framework: Framework, pairs: readonly (readonly Round[])[]): Pair {
  const rounds = pairs.flat();
  const of = (kind: Kind, key: keyof Sample): number => median(rounds.map((round) => round[kind][key]));
  const ratio = (some: readonly Round[], key: keyof Sample): number =>
    median(some.map((round) => round.coroutine[key] / round.async[key]));
  return {
    framework,
    asyncRate: Math.round(of("async", "rate")),
    coroutineRate: Math.round(of("coroutine", "rate")),
    asyncCpuUs: rounded(of("async", "cpuUs"), 1),
    coroutineCpuUs: rounded(of("coroutine", "cpuUs"), 1),
    rate: rounded(ratio(rounds, "rate"), 3),
    cpu: rounded(ratio(rounds, "cpuUs"), 3),
    cpuOfPairs: pairs
      .map((pair) => ratio(pair, "cpuUs"))
      .sort((a, b) => a - b)
      .map((it) => it.toFixed(2))
      .join(" "),
  };
}

async function wrk(
  url: string,
  seconds: string,
  connections: string,
): Promise<{ readonly requests: number; readonly perSecond: number }> {
  const started = spawnProcess("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, url], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  for await (const chunk of started.stdout) text += String(chunk);
  const requests = Number(/(\d+) requests in/.exec(text)?.[1]);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
  if (!(requests > 0) || /Non-2xx|Socket errors/.test(text)) throw new Error(`wrk: ${text}`);
  return { requests, perSecond };
}

/** Of a request that waits in its handler: KiB beside those of an async handler, and the listeners on its response. */
async function measureInFlight(requests: number): Promise<object> {
  const found: Record<string, { readonly bytes: number; readonly listeners: number }> = {};
  for (const kind of KINDS) {
    const server = new Child(["hold", kind]);
    const port = Number(await server.line());
    const sockets: Socket[] = [];
    const open = (count: number): Promise<unknown> => {
      const opened = Array.from({ length: count }, () => {
        const socket = connect(port, "127.0.0.1");
        sockets.push(socket);
        return new Promise<void>((resolve) => {
          socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n", () => resolve());
        });
      });
      return Promise.all(opened);
    };
    await open(100);
    const before = Number((await server.ask("heap")).split(" ")[0]);
    for (let i = 0; i < requests; i += 200) await open(Math.min(200, requests - i));
    for (let i = 0; i < 100; i++) await immediate();
    const [after, listeners] = (await server.ask("heap")).split(" ").map(Number);
    found[kind] = { bytes: (after! - before) / requests, listeners: listeners! };
    server.end();
    for (const socket of sockets) socket.on("error", () => undefined).destroy();
  }
  const { async: plain, coroutine } = found as Record<Kind, { readonly bytes: number; readonly listeners: number }>;
  return {
    requests,
    asyncBytes: Math.round(plain.bytes),
    coroutineBytes: Math.round(coroutine.bytes),
    moreKiB: rounded((coroutine.bytes - plain.bytes) / 1024, 2),
    moreListeners: coroutine.listeners - plain.listeners,
  };
}

async function measureDisconnects(count: string): Promise<object> {
  const child = new Child(["disconnect", count]);
  const result = JSON.parse(await child.line()) as object;
  child.end();
  return result;
}

/** This file in a process of its own, line by line. */
class Child {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(args: readonly string[]) {
    const options = [...process.execArgv, ...(process.execArgv.includes("--expose-gc") ? [] : ["--expose-gc"])];
    this.#process = spawnProcess(process.execPath, [...options, fileURLToPath(import.meta.url), ...args], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#lines = createInterface(this.#process.stdout!)[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    const { done, value } = await this.#lines.next();
    if (done === true) throw new Error("a child of the benchmark ended early");
    return value;
  }

  ask(question: string): Promise<string> {
    this.#process.stdin!.write(`${question}\n`);
    return this.line();
  }

  end(): void {
    this.#process.stdin!.end();
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

const [role, ...rest] = process.argv.slice(2);
if (role === "serve") await serve(rest[0] as Framework, rest[1] as Kind);
else if (role === "hold") await hold(rest[0] as Kind);
else if (role === "disconnect") await disconnect(Number(rest[0]));
else await main();
