import { checkRule } from "./rule-tester.ts";

checkRule(
  "no-await-in-coroutine",
  [
    `import { run, sleep } from "fibril"; await run(function* () { yield* sleep(1); });`,
    `import { spawn, EventLoop } from "fibril"; const loop = new EventLoop(); await loop.spawn(f); const t = spawn(f); await t;`,
    `import { Future } from "fibril"; const f = new Future(); await f;`,
    `import { run, until } from "fibril"; run(function* () { yield* until(async () => { await other(); }); });`,
    `import { run, defer } from "fibril"; run(function* () { defer(async () => { await close(); }); });`,
    `import { run, simulate } from "fibril"; async function test() { await run(main); }`,
    // Arguments of the coroutine may be anything.
    `import { spawn } from "fibril"; function* f() { spawn(worker, async (job) => { await job; }); }`,
    `import { spawn } from "fibril"; function* f() { spawn({ name: "w" }, worker, async () => {}); }`,
    // Options.
    `import { retry } from "fibril"; function* f() { yield* retry(load, { attempts: 3, onRetry: async () => {} }); }`,
    // Async generators that are none of ours.
    `async function* lines() { yield 1; yield* more(); }`,
    `import { sleep } from "other"; async function* f() { yield* sleep(1); await sleep(1); }`,
    `import { run } from "other"; run(async () => {});`,
    `import { run } from "fibril"; run(() => job(1)); run(job);`,
    `function* numbers() { yield 1; } async function f() { await numbers(); await Promise.all([numbers()]); }`,
    `async function f() { await Promise.all([g(), h()]); for await (const x of y) {} }`,
    `const Promise = mine; import { sleep } from "fibril"; Promise.all([sleep(1)]);`,
    `import { until } from "fibril"; function* f() { yield* until(fetch(url)); }`,
    `import { run, sleep } from "fibril"; await Promise.all(list.map((it) => run(() => sleep(it)))); await Promise.all(list.map(load));`,
  ],
  [
    { code: `import { run } from "fibril"; run(async () => { await f(); });`, found: ["asyncBody"] },
    { code: `import { run } from "fibril"; run(async function main() {});`, found: ["asyncBody"] },
    { code: `import { run } from "fibril"; run(async function* main() {});`, found: ["asyncBody"] },
    {
      code: `import { run, sleep } from "fibril"; run(async function* main() { yield* sleep(1); });`,
      found: ["asyncGenerator"],
    },
    { code: `import { run } from "fibril"; async function main() {} run(main);`, found: ["asyncBody"] },
    { code: `import { run as go } from "fibril"; const main = async () => {}; go(main);`, found: ["asyncBody"] },
    { code: `import * as f from "fibril"; f.run(async () => {});`, found: ["asyncBody"] },
    { code: `import { spawn } from "fibril"; function* f() { spawn(async (a) => a, 1); }`, found: ["asyncBody"] },
    {
      code: `import { spawn } from "fibril"; function* f() { spawn({ name: "a" }, async (a) => a, 1); }`,
      found: ["asyncBody"],
    },
    {
      code: `import { scope } from "fibril"; function* f() { yield* scope(function* (s) { s.spawn(async () => {}); }); }`,
      found: ["asyncBody"],
    },
    { code: `import { scope } from "fibril"; function* f() { yield* scope(async (s) => {}); }`, found: ["asyncBody"] },
    {
      code: `import { timeout } from "fibril"; function* f() { yield* timeout(9, async () => {}); }`,
      found: ["asyncBody"],
    },
    { code: `import { coroutine } from "fibril"; const f = coroutine(async function () {});`, found: ["asyncBody"] },
    {
      code: `import { all } from "fibril"; function* f() { yield* all([async () => {}, g, async () => {}]); }`,
      found: ["asyncBody", "asyncBody"],
    },
    {
      code: `import { all } from "fibril"; function* f() { yield* all({ a: async () => {}, b: g }); }`,
      found: ["asyncBody"],
    },
    {
      code: `import { Lock } from "fibril"; const lock = new Lock(); function* f() { yield* lock.use(async () => {}); }`,
      found: ["asyncBody"],
    },
    // Promises where operations belong.
    {
      code: `import { race, until } from "fibril"; function* f() { yield* race([fetch(url)]); }`,
      found: [
        {
          id: "promiseBody",
          becomes: [
            ["wrap", `import { race, until } from "fibril"; function* f() { yield* race([until(fetch(url))]); }`],
          ],
        },
      ],
    },
    {
      code: `import { timeout, until as u } from "fibril"; async function g() {} function* f() { yield* timeout(9, () => g()); }`,
      found: [
        {
          id: "promiseBody",
          becomes: [
            [
              "wrap",
              `import { timeout, until as u } from "fibril"; async function g() {} function* f() { yield* timeout(9, () => u(g())); }`,
            ],
          ],
        },
      ],
    },
    {
      code: `import { until } from "fibril"; function* f() { yield* fetch(url); }`,
      found: [
        {
          id: "delegated",
          becomes: [["wrap", `import { until } from "fibril"; function* f() { yield* until(fetch(url)); }`]],
        },
      ],
    },
    { code: `async function g() {} function* f() { yield* g(); }`, found: [{ id: "delegated", becomes: [] }] },
    // Operations where promises belong.
    { code: `import { sleep } from "fibril"; async function f() { await sleep(1); }`, found: ["awaited"] },
    { code: `import { sleep } from "fibril"; await sleep(1);`, found: ["awaited"] },
    {
      code: `import { sleep } from "fibril"; function* g() { yield* sleep(1); } async function f() { await g(); }`,
      found: ["awaited"],
    },
    { code: `import { spawn } from "fibril"; async function f() { await spawn(g).cancel(); }`, found: ["awaited"] },
    {
      code: `import { sleep } from "fibril"; await Promise.all([sleep(1), g(), sleep(2)]);`,
      found: ["gathered", "gathered"],
    },
    {
      code: `import { sleep } from "fibril"; function* g() { yield* sleep(1); } await Promise.all(list.map((it) => g(it))); await Promise.all(list.map(g));`,
      found: ["gathered", "gathered"],
    },
    // Async generators for coroutines.
    {
      code: `import { sleep } from "fibril"; async function* f() { yield* sleep(1); for await (const x of y) {} }`,
      found: ["asyncGenerator"],
    },
  ],
);
