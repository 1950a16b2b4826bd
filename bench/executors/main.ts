/**
 * `npm run bench -- executors`: the thread pool beside piscina, tinypool, workerpool and poolifier, and what CPU work does to the loop.
 *
 * Each contestant runs in a fresh process with two threads; rounds are interleaved, every figure is the median over the rounds, ratios are
 * taken inside a round. The job adds two numbers, so what is measured is the pool.
 *
 *   sequential  one job after the other: microseconds from call to result; all pools in one process, see `round-trips.ts`
 *   one-core    the same, with the process held on one core. Between two cores most of a round trip is the time that the machine needs to wake an
 *               idle core, and chance decides which pool's threads stand on the core of their caller; here it is the pool
 *   two-cores   the same, with the main thread on one core and all others on another one, see `placement.ts`
 *   in-flight   64 jobs at any time: jobs a second
 *   map         100 numbers a message (Fibril only; the others have no `map` and are asked 64 at a time): items a second
 *   lag         how late a timer of 1 ms is (p99) while CPU work of the row runs: on the pool, and on the loop by `Promise.all`
 */
import { spawn as spawnProcess } from "node:child_process";
import { availableParallelism, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { roundTrips } from "./round-trips.ts";
import type { One, RoundTrips } from "./round-trips.ts";

const USAGE = `npm run bench -- executors [options]

  --rounds N     default 5
  --only A[,B…]  these contestants only
  --json         print JSON and nothing else
  --quick        one round with little work
`;

const THREADS = 2;
const IN_FLIGHT = 64;
const CHUNK = 100;
const HERE = new URL("./", import.meta.url);

interface Load {
  readonly warmUp: number;
  /** Rounds of slices in which the pools take turns, and round trips of each. */
  readonly sequential: { readonly rounds: number; readonly slice: number };
  readonly inFlight: number;
  readonly mapped: number;
}

const FULL: Load = { warmUp: 3_000, sequential: { rounds: 25, slice: 200 }, inFlight: 40_000, mapped: 400_000 };
const QUICK: Load = { warmUp: 250, sequential: { rounds: 3, slice: 50 }, inFlight: 3_000, mapped: 20_000 };

interface Opened {
  readonly one: One;
}

interface Sample {
  readonly roundTrips?: RoundTrips;
  readonly inFlightRate?: number;
  readonly mapRate?: number;
  readonly lags?: Readonly<Record<string, number>>;
}

type Program = (load: Load) => Promise<Sample>;

/** A pool of promises. It is not closed: the process ends, and the `destroy` of one of them never does. */
function promised(open: () => Promise<Opened>): Program {
  return async (load) => {
    const { one } = await open();
    await lanes(load.warmUp, 16, one);
    await lanes(Math.ceil(load.inFlight / 4), IN_FLIGHT, one);
    const inFlightRate = await lanes(load.inFlight, IN_FLIGHT, one);
    return { inFlightRate };
  };
}

async function lanes(count: number, width: number, one: One): Promise<number> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const i = next++;
      check(await one(i, 1), i + 1);
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: width }, lane));
  return count / ((performance.now() - startedAt) / 1e3);
}

const peers = {
  piscina: async () => {
    const { Piscina } = await import("piscina");
    const pool = new Piscina({
      filename: new URL("functions.ts", HERE).href,
      minThreads: THREADS,
      maxThreads: THREADS,
      idleTimeout: 30_000,
    });
    return { one: (a, b) => pool.run({ a, b }, { name: "add" }) as Promise<number> };
  },

  tinypool: async () => {
    const { Tinypool } = await import("tinypool");
    const pool = new Tinypool({
      filename: new URL("functions.ts", HERE).href,
      minThreads: THREADS,
      maxThreads: THREADS,
      idleTimeout: 30_000,
    });
    return { one: (a, b) => pool.run({ a, b }, { name: "add" }) as Promise<number> };
  },

  workerpool: async () => {
    const { default: workerpool } = await import("workerpool");
    const pool = workerpool.pool(fileURLToPath(new URL("workerpool-worker.mjs", HERE)), {
      workerType: "thread",
      minWorkers: THREADS,
      maxWorkers: THREADS,
    });
    return {
      one: (a, b) => pool.exec("add", [{ a, b }]) as unknown as PromiseLike<number>,
    };
  },

  poolifier: async () => {
    const { FixedThreadPool } = await import("poolifier");
    const pool = new FixedThreadPool<{ a: number; b: number }, number>(
      THREADS,
      fileURLToPath(new URL("poolifier-worker.mjs", HERE)),
    );
    return { one: (a, b) => pool.execute({ a, b }) };
  },
} satisfies Record<string, () => Promise<Opened>>;

/** All pools in turn. */
function sequential(isApart: boolean): Program {
  return async ({ sequential: plan }) => {
    const opened: Record<string, One> = {};
    for (const [name, open] of Object.entries(peers)) opened[name] = (await open()).one;
    return { roundTrips: await roundTrips(opened, THREADS, { ...plan, isApart }) };
  };
}

const contestants: Readonly<Record<string, Program>> = {
  async fibril(load) {
    const { forEach, run, use, all } = await import("fibril");
    const { ThreadPool } = await import("fibril/executors");
    const { add } = await import("./jobs.ts");
    return await run(function* () {
      const pool = yield* use(new ThreadPool({ maxWorkers: THREADS }));
      function* lanesOf(count: number, width: number) {
        let next = 0;
        function* lane() {
          while (next < count) {
            const i = next++;
            check(yield* yield* pool.submit(add, { a: i, b: 1 }), i + 1);
          }
        }
        const startedAt = performance.now();
        yield* all(Array.from({ length: width }, () => lane));
        return count / ((performance.now() - startedAt) / 1e3);
      }
      yield* lanesOf(load.warmUp, 16);
      yield* lanesOf(Math.ceil(load.inFlight / 4), IN_FLIGHT);
      const inFlightRate = yield* lanesOf(load.inFlight, IN_FLIGHT);
      const items = Array.from({ length: load.mapped }, (_, i) => ({ a: i, b: 1 }));
      let sum = 0;
      let mapRate = 0;
      for (const part of [items.slice(0, load.mapped / 4), items]) {
        sum = 0;
        const startedAt = performance.now();
        yield* forEach(pool.map(add, part, { chunkSize: CHUNK }), function* (value) {
          sum += value;
        });
        mapRate = part.length / ((performance.now() - startedAt) / 1e3);
      }
      check(sum, (load.mapped * (load.mapped + 1)) / 2);
      return { inFlightRate, mapRate };
    });
  },

  piscina: promised(peers.piscina),
  tinypool: promised(peers.tinypool),
  workerpool: promised(peers.workerpool),
  poolifier: promised(peers.poolifier),

  "one-core": sequential(false), // `runChild` holds it there
  "two-cores": sequential(true),
  sequential: sequential(false),

  "lag-pool": async (load) => {
    const { all, forEach, run, use } = await import("fibril");
    const { ThreadPool } = await import("fibril/executors");
    const jobs = await import("./jobs.ts");
    const text = bigJson();
    return await run(function* () {
      const lags: Record<string, number> = {};
      // One thread less than the machine has: the loop needs a core, too.
      const pool = yield* use(new ThreadPool({ maxWorkers: Math.max(1, availableParallelism() - 1) }));
      yield* pool.call(jobs.add, { a: 1, b: 1 });
      const count = load === QUICK ? 5 : 50;
      const works = {
        mandelbrot: () => forEach(pool.map(jobs.mandelbrot, rows(count)), function* () {}),
        "password hash": () => forEach(pool.map(jobs.hashPassword, rows(count / 2).map(String)), function* () {}),
        "JSON.parse": () => all(rows(count / 10).map(() => pool.call(jobs.parse, text))),
      };
      for (const [name, work] of Object.entries(works)) {
        const meter = startMeter();
        yield* work();
        lags[name] = meter();
      }
      return { lags };
    });
  },

  "lag-native": async (load) => {
    const functions = await import("./functions.ts");
    const text = bigJson();
    const count = load === QUICK ? 5 : 50;
    const works = {
      mandelbrot: () => Promise.all(rows(count).map(async (row) => functions.mandelbrot(row))),
      "password hash": () => Promise.all(rows(count / 2).map(async (row) => functions.hashPassword(String(row)))),
      "JSON.parse": () => Promise.all(rows(count / 10).map(async () => functions.parse(text))),
    };
    const lags: Record<string, number> = {};
    for (const [name, work] of Object.entries(works)) {
      const meter = startMeter();
      await work();
      await new Promise((resolve) => setTimeout(resolve, 5)); // a timer that could not come in all that time comes now
      lags[name] = meter();
    }
    return { lags };
  },
};

function rows(count: number): number[] {
  return Array.from({ length: Math.ceil(count) }, (_, i) => (i * 7) % 100);
}

function bigJson(): string {
  return JSON.stringify(Array.from({ length: 50_000 }, (_, id) => ({ id, name: `user ${id}`, tags: ["a", "b", id] })));
}

/** How late a timer of 1 ms is: starts now; the function gives the 99th percentile in milliseconds. */
function startMeter(): () => number {
  const lags: number[] = [];
  let due = performance.now() + 1;
  const timer = setInterval(() => {
    const now = performance.now();
    lags.push(Math.max(0, now - due));
    due = now + 1;
  }, 1);
  return () => {
    clearInterval(timer);
    lags.sort((a, b) => a - b);
    return lags[Math.min(lags.length - 1, Math.floor(lags.length * 0.99))] ?? 0;
  };
}

function check(got: number, expected: number): void {
  if (got !== expected) throw new Error(`a job gave ${got} instead of ${expected}`);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

interface Options {
  readonly rounds: number;
  readonly names: readonly string[];
  readonly json: boolean;
  readonly quick: boolean;
}

/** What `npm run bench -- executors` does with its arguments. */
export async function benchExecutors(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: "string", default: "5" },
      only: { type: "string" },
      json: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      child: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) process.stdout.write(USAGE);
  else if (values.child !== undefined) {
    const sample = await contestants[values.child]!(values.quick ? QUICK : FULL);
    process.stdout.write(`${JSON.stringify(sample)}\n`, () => process.exit());
  } else {
    const names = values.only?.split(",") ?? Object.keys(contestants);
    const rounds = values.quick ? 1 : Number(values.rounds);
    await compare({ rounds, names, json: values.json, quick: values.quick });
  }
}

async function compare({ rounds, names, json, quick }: Options): Promise<void> {
  const samples = new Map<string, Sample[]>(names.map((name) => [name, []]));
  const loadBefore = loadavg()[0] ?? 0;
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const sample = await runChild(name, quick);
      if (sample !== null) samples.get(name)!.push(sample);
    }
  }
  const result = {
    node: process.version,
    threads: THREADS,
    cores: availableParallelism(),
    load: loadBefore,
    rounds,
    contestants: Object.fromEntries(names.map((name) => [name, summary(samples.get(name)!)])),
    targets: targetsOf(samples),
  };
  process.stdout.write(json ? `${JSON.stringify(result, null, 2)}\n` : asText(result));
}

type Summary = ReturnType<typeof summary>;

function summary(samples: readonly Sample[]): Sample {
  const of = (key: "inFlightRate" | "mapRate"): number | undefined => {
    const figures = samples.flatMap((each) => each[key] ?? []);
    return figures.length === 0 ? undefined : median(figures);
  };
  const lagNames = Object.keys(samples[0]?.lags ?? {});
  const figures = { inFlightRate: of("inFlightRate"), mapRate: of("mapRate") };
  const known = Object.fromEntries(Object.entries(figures).filter(([, value]) => value !== undefined));
  const trips = samples.flatMap((it) => it.roundTrips ?? []);
  if (trips.length > 0) return { roundTrips: middleOf(trips) };
  if (lagNames.length === 0) return known;
  return {
    ...known,
    lags: Object.fromEntries(lagNames.map((name) => [name, median(samples.map((it) => it.lags![name]!))])),
  };
}

function middleOf(trips: readonly RoundTrips[]): RoundTrips {
  const each = (key: "us" | "ratios") =>
    Object.fromEntries(Object.keys(trips[0]![key]).map((name) => [name, median(trips.map((it) => it[key][name]!))]));
  return { us: each("us"), ratios: each("ratios"), toBest: median(trips.map(({ toBest }) => toBest)) };
}

interface Verdict {
  readonly target: string;
  readonly value: number;
  readonly met: boolean;
}

function targetsOf(samples: ReadonlyMap<string, readonly Sample[]>): Verdict[] {
  const verdicts: Verdict[] = [];
  for (const [row, place] of [
    ["one-core", "on one core"],
    ["two-cores", "main thread and workers on a core each"],
    ["sequential", "where the system puts the threads"],
  ] as const) {
    const trips = summary(samples.get(row) ?? []).roundTrips;
    if (trips === undefined) continue;
    const value = trips.toBest;
    verdicts.push({ target: `round trip, ${place}, ≤ 1.0 × the best peer`, value, met: value <= 1 });
  }
  const ours = samples.get("fibril") ?? [];
  const piscina = samples.get("piscina") ?? [];
  const rounds = piscina.length === ours.length ? ours.length : 0; // one that failed in a round has no partner there
  if (rounds > 0) {
    const perRound = (ratio: (round: number) => number): number =>
      median(Array.from({ length: rounds }, (_, i) => ratio(i)));
    const toPiscina = perRound((i) => ours[i]!.inFlightRate! / piscina[i]!.inFlightRate!);
    const map = perRound((i) => ours[i]!.mapRate! / piscina[i]!.inFlightRate!);
    verdicts.push(
      { target: "64 in flight ≥ 2.5 × piscina", value: toPiscina, met: toPiscina >= 2.5 },
      { target: "map in chunks ≥ 20 × piscina per item", value: map, met: map >= 20 },
    );
  }
  for (const [name, value] of Object.entries(summary(samples.get("lag-pool") ?? []).lags ?? {})) {
    verdicts.push({ target: `lag p99 during ${name} on the pool < 10 ms`, value, met: value < 10 });
  }
  return verdicts;
}

function asText(result: { contestants: Record<string, Summary>; targets: readonly Verdict[] }): string {
  const lines = Object.entries(result.contestants).map(([name, each]) => {
    const parts = [
      Object.entries(each.roundTrips?.us ?? {})
        .map(([pool, us]) => `  ${pool} ${us.toFixed(1)} µs`)
        .join(""),
      each.inFlightRate === undefined ? "" : `${Math.round(each.inFlightRate).toLocaleString("en")}/s`.padStart(14),
      each.mapRate === undefined ? "" : `${Math.round(each.mapRate).toLocaleString("en")} items/s`.padStart(20),
      ...Object.entries(each.lags ?? {}).map(([row, ms]) => `${row} ${ms.toFixed(1)} ms`.padStart(24)),
    ];
    return `${name.padEnd(12)}${parts.join("")}`;
  });
  const verdicts = result.targets.map((it) => `${it.met ? "met   " : "MISSED"}  ${it.target}: ${it.value.toFixed(2)}`);
  return `${"".padEnd(12)}${"in flight".padStart(14)}${"map".padStart(20)}\n${[...lines, "", ...verdicts].join("\n")}\n`;
}

function runChild(name: string, quick: boolean): Promise<Sample | null> {
  return new Promise((resolve) => {
    const main = fileURLToPath(new URL("../main.ts", import.meta.url));
    const args = [...process.execArgv, main, "executors", "--child", name];
    if (quick) args.push("--quick");
    // Without taskset, on a system that is not Linux, this row fails and says so.
    const [program, before] = name === "one-core" ? ["taskset", ["-c", "0", process.execPath]] : [process.execPath, []];
    const child = spawnProcess(program, [...before, ...args], { stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 });
    let printed = "";
    let complaints = "";
    child.stdout.on("data", (part) => (printed += String(part)));
    child.stderr.on("data", (part) => (complaints += String(part)));
    child.on("error", (error) => (complaints += error.message)); // no such program; "close" follows
    child.on("close", (code) => {
      if (code === 0) resolve(JSON.parse(printed) as Sample);
      else {
        process.stderr.write(`${name} failed with ${code}: ${complaints.slice(0, 400)}\n`);
        process.exitCode = name === "fibril" ? 1 : process.exitCode;
        resolve(null);
      }
    });
  });
}
