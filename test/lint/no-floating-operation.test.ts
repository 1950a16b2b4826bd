import { checkRule } from "./rule-tester.ts";

/** One floating statement in a coroutine, with the suggestion that puts `yield*` before it. */
function floats(before: string, statement: string, after = ""): Parameters<typeof checkRule>[2][number] {
  return {
    code: before + statement + after,
    found: [{ id: "floating", becomes: [["wait", `${before}yield* ${statement}${after}`]] }],
  };
}

checkRule(
  "no-floating-operation",
  [
    // Waited for, returned, assigned, passed on.
    `import { sleep } from "fibril"; function* f() { yield* sleep(1); }`,
    `import { sleep } from "fibril"; const f = () => sleep(1);`,
    `import { sleep } from "fibril"; function f() { return sleep(1); }`,
    `import { sleep } from "fibril"; const nap = () => sleep(1); function* f() { yield* nap(); }`,
    `import { spawn } from "fibril"; const stop = () => task.cancel(); function* f() { const task = spawn(g); stop(); }`,
    `import { sleep } from "fibril"; function nap(ms) { if (ms > 0) return sleep(ms); } nap(1);`,
    // Returned by what is no coroutine, or a task, which runs.
    `import { sleep } from "fibril"; function* list() { yield 1; return sleep(1); }`,
    `import { sleep, spawn } from "fibril"; function* f() { yield* sleep(1); return spawn(g); }`,
    `import { sleep } from "fibril"; import { work } from "./work.js"; function* f() { yield* work(); yield* sleep(1); return work(); }`,
    `import { sleep } from "fibril"; const nap = sleep(1); list.push(sleep(2), nap);`,
    `import { sleep, all } from "fibril"; function* f() { yield* all([sleep(1), sleep(2)]); }`,
    `import { sleep } from "fibril"; function* f() { const wait = test ? sleep(1) : sleep(2); yield* wait; }`,
    `import { sleep } from "fibril"; function* f() { yield* (test && sleep(1)); yield* (wait ?? sleep(1)); }`,
    `import { sleep } from "fibril"; list.map((ms) => sleep(ms));`,
    `import { sleep } from "fibril"; function* f() { yield* (work(), sleep(1)); }`,
    // Said to be meant.
    `import { sleep } from "fibril"; void sleep(1);`,
    // The call itself does it.
    `import { spawn } from "fibril"; function* f() { const task = spawn(g); task.cancel(); }`,
    `import { scope } from "fibril"; function* f() { yield* scope(function* (inner) { inner.cancel(); }); }`,
    `import { run } from "fibril"; run(main);`,
    `import { spawn, defer } from "fibril"; function* f() { spawn(g); defer(() => {}); }`,
    `import { Channel } from "fibril"; const jobs = new Channel(1); jobs.trySend(1); jobs.close();`,
    // Other people's functions, also of the same name.
    `import { sleep } from "other"; sleep(1);`,
    `function sleep(ms) {} sleep(1);`,
    `import { sleep } from "fibril"; { const sleep = (ms) => {}; sleep(1); }`,
    `import { sleep } from "fibril"; function f(sleep) { sleep(1); }`,
    `import { Lock } from "other"; const lock = new Lock(); lock.acquire();`,
    `import { Lock } from "fibril"; let lock = new Lock(); lock = other(); lock.acquire();`,
    `import * as fibril from "fibril"; fibril.constructor(1); fibril.spawn(f);`,
    `import { toString } from "fibril"; toString();`,
    // Methods of the same class that are no coroutines; \`this\` of another function.
    `class A { f() {} *g() {} h() { this.f(); function inner() { this.g(); } } }`,
    `class A { static *g() {} *g2() {} h() { this.g(); } }`,
    `class A { get g() { return () => {}; } h() { this.g(); } }`,
    // Imported, and never seen behind \`yield*\`.
    `import { sleep } from "fibril"; import { log } from "./log.js"; function* f() { yield* sleep(1); log(1); }`,
    `import { g } from "./g.js"; function* f() { yield* g(1); if (g(2)) {} }`,
    // Callbacks that are waited for.
    `import { sleep, run, forEachConcurrent } from "fibril"; run(() => forEachConcurrent(list, function* (it) { yield* sleep(it); }));`,
    `list.forEach((it) => { it.sleep(); });`,
    `import { EventLoop } from "fibril"; const loop = new EventLoop(); loop.callSoon(() => {}); loop.spawn(function* () {});`,
    `const setTimeout = later; setTimeout(function* () {});`,
  ],
  [
    floats(`import { sleep } from "fibril"; function* f() { `, `sleep(1);`, ` }`),
    floats(`import { sleep as nap } from "fibril"; function* f() { `, `nap(1);`, ` }`),
    floats(`import * as fibril from "fibril"; function* f() { `, `fibril.sleep(1);`, ` }`),
    floats(`import * as fibril from "fibril"; function* f() { `, `fibril["sleep"](1);`, ` }`),
    floats(`const { sleep } = await import("fibril"); function* f() { `, `sleep(1);`, ` }`),
    floats(`import * as fibril from "fibril"; const { sleep: nap } = fibril; function* f() { `, `nap(1);`, ` }`),
    floats(`import { all } from "fibril"; function* f() { `, `all([g(), h()]);`, ` }`),
    floats(`import { until } from "fibril"; function* f() { `, `until(fetch(url));`, ` }`),
    floats(`import { aborted } from "fibril/interop"; function* f() { `, `aborted(signal);`, ` }`),
    // Functions of this file.
    floats(`function* g() {} function* f() { `, `g();`, ` }`),
    floats(`const g = function* () {}; function* f() { `, `g();`, ` }`),
    floats(`import { coroutine } from "fibril"; const g = coroutine(function* () {}); function* f() { `, `g();`, ` }`),
    floats(
      `import { coroutine } from "fibril"; const g = coroutine("g", function* () {}); function* f() { `,
      `g();`,
      ` }`,
    ),
    floats(`import { g } from "./g.js"; function* f() { yield* g(1); `, `g(2);`, ` }`),
    // Methods of this class, private ones, of an object of it, and of its parent.
    floats(`class A { *g() {} *f() { `, `this.g();`, ` } }`),
    floats(`class A { *#g() {} *f() { `, `this.#g();`, ` } }`),
    floats(`class A { static *g() {} static *f() { `, `this.g();`, ` } }`),
    floats(`class A { *g() {} } const a = new A(); function* f() { `, `a.g();`, ` }`),
    floats(`class A { *g() {} } class B extends A { *f() { `, `this.g();`, ` } }`),
    // Objects of Fibril's classes.
    floats(`import { Lock } from "fibril"; const lock = new Lock(); function* f() { `, `lock.acquire();`, ` }`),
    floats(`import { Lock } from "fibril"; const lock = new Lock(); function* f() { `, `lock.use(g);`, ` }`),
    floats(`import { Semaphore } from "fibril"; const s = new Semaphore(2); function* f() { `, `s.acquire();`, ` }`),
    floats(`import { Event } from "fibril"; const event = new Event(); function* f() { `, `event.wait();`, ` }`),
    floats(`import { Barrier } from "fibril"; const b = new Barrier(2); function* f() { `, `b.wait();`, ` }`),
    floats(`import { Queue } from "fibril"; const q = new Queue(2); function* f() { `, `q.put(1);`, ` }`),
    floats(`import { Queue } from "fibril"; const q = new Queue(2); function* f() { `, `q.join();`, ` }`),
    floats(`import { Channel } from "fibril"; const c = new Channel(0); function* f() { `, `c.send(1);`, ` }`),
    floats(
      `import { Channel } from "fibril"; const { sender, receiver } = new Channel(0); function* f() { `,
      `sender.send(1);`,
      ` }`,
    ),
    floats(
      `import { Channel } from "fibril"; const { sender: out = null } = new Channel(0); function* f() { `,
      `out.clone().send(1);`,
      ` }`,
    ),
    floats(
      `import { Channel } from "fibril"; const c = new Channel(0); function* f() { `,
      `c.receiver.receive();`,
      ` }`,
    ),
    floats(`import { Lock } from "fibril"; class A { #lock = new Lock(); *f() { `, `this.#lock.acquire();`, ` } }`),
    floats(`import { scope } from "fibril"; function* f() { yield* scope(function* (s) { `, `s.start(g);`, ` }); }`),
    floats(`import { currentScope } from "fibril"; function* f() { `, `currentScope().start(g);`, ` }`),
    floats(
      `import { Session } from "fibril/http"; function* f() { const s = yield* Session.open(); `,
      `s.get(url);`,
      ` }`,
    ),
    floats(
      `import { Session } from "fibril/http"; function* f() { const s = yield* Session.open(); const r = yield* s.get(url); `,
      `r.text();`,
      ` }`,
    ),
    floats(
      `import { use, Lock } from "fibril"; function* f() { const l = yield* use(new Lock()); `,
      `l.acquire();`,
      ` }`,
    ),
    // Waits of one's own.
    floats(`import { Wait } from "fibril/lowlevel"; class Tick extends Wait {} function* f() { `, `new Tick();`, ` }`),
    // In other places where a value is dropped.
    {
      code: `import { sleep } from "fibril"; function* f() { test && sleep(1); }`,
      found: [
        {
          id: "floating",
          becomes: [["wait", `import { sleep } from "fibril"; function* f() { test && (yield* sleep(1)); }`]],
        },
      ],
    },
    {
      code: `import { sleep } from "fibril"; function* f() { test ? sleep(1) : sleep(2); }`,
      found: [
        {
          id: "floating",
          becomes: [["wait", `import { sleep } from "fibril"; function* f() { test ? (yield* sleep(1)) : sleep(2); }`]],
        },
        {
          id: "floating",
          becomes: [["wait", `import { sleep } from "fibril"; function* f() { test ? sleep(1) : (yield* sleep(2)); }`]],
        },
      ],
    },
    {
      code: `import { sleep } from "fibril"; function* f() { for (;; sleep(1)) {} }`,
      found: [
        {
          id: "floating",
          becomes: [["wait", `import { sleep } from "fibril"; function* f() { for (;; (yield* sleep(1))) {} }`]],
        },
      ],
    },
    {
      code: `import { sleep } from "fibril"; function* f() { const it = (sleep(1), work()); }`,
      found: [
        {
          id: "floating",
          becomes: [
            ["wait", `import { sleep } from "fibril"; function* f() { const it = ((yield* sleep(1)), work()); }`],
          ],
        },
      ],
    },
    // Where no \`yield*\` can stand.
    { code: `import { sleep } from "fibril"; sleep(1);`, found: [{ id: "outside", becomes: [] }] },
    {
      code: `import { sleep } from "fibril"; function* f() { list.map((it) => { sleep(it); }); }`,
      found: [{ id: "outside", becomes: [] }],
    },
    { code: `import { sleep } from "fibril"; list.forEach((ms) => sleep(ms));`, found: ["callback"] },
    { code: `list.forEach(function* (it) { work(it); });`, found: ["callback"] },
    { code: `function* g(it) {} list.forEach(g);`, found: ["callback"] },
    { code: `setTimeout(function* () {}, 10);`, found: ["callback"] },
    {
      code: `import { EventLoop } from "fibril"; const loop = new EventLoop(); loop.callLater(5, function* () {});`,
      found: ["callback"],
    },
    // Made by a function that does nothing else.
    floats(`import { sleep } from "fibril"; const nap = () => sleep(1); function* f() { `, `nap()`, `; }`),
    floats(`import { sleep } from "fibril"; function nap(ms) { return sleep(ms); } function* f() { `, `nap(1)`, `; }`),
    // Returned as if a coroutine were an async function.
    {
      code: `import { sleep } from "fibril"; function* f() { yield* sleep(1); return sleep(2); }`,
      found: [
        {
          id: "returned",
          becomes: [
            ["wait", `import { sleep } from "fibril"; function* f() { yield* sleep(1); return (yield* sleep(2)); }`],
          ],
        },
      ],
    },
    {
      code: `import { run, timeout } from "fibril"; function* g() { yield* timeout(5, h); } run(function* () { return a ? g() : null; });`,
      found: [
        {
          id: "returned",
          becomes: [
            [
              "wait",
              `import { run, timeout } from "fibril"; function* g() { yield* timeout(5, h); } run(function* () { return a ? (yield* g()) : null; });`,
            ],
          ],
        },
      ],
    },
    // As a condition.
    {
      code: `import { Event } from "fibril"; const e = new Event(); function* f() { if (e.wait()) {} }`,
      found: [
        {
          id: "condition",
          becomes: [
            [
              "wait",
              `import { Event } from "fibril"; const e = new Event(); function* f() { if ((yield* e.wait())) {} }`,
            ],
          ],
        },
      ],
    },
    {
      code: `import { sleep } from "fibril"; while (!sleep(1)) {}`,
      found: [{ id: "condition", becomes: [] }],
    },
  ],
);
