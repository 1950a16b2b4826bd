import { checkRule } from "./rule-tester.ts";

const start = `import { spawn, sleep } from "fibril"; function* job(n) { yield* sleep(n); } function* f() { `;

checkRule(
  "prefer-hoisted-coroutine",
  [
    `${start} for (const n of list) spawn(job, n); }`,
    `${start} spawn(function* () { yield* sleep(1); }); }`,
    `${start} for (const n of list) spawn(() => job(n)); }`,
    `${start} for (const n of list) { const go = () => { spawn(function* () {}); }; } }`,
    `${start} for (const t = spawn(function* () {}); ;) {} }`,
    `import { spawn } from "other"; for (const n of list) spawn(function* () {});`,
  ],
  [
    { code: `${start} for (const n of list) spawn(function* () { yield* sleep(n); }); }`, found: ["hoist"] },
    { code: `${start} for (;;) { if (n) { spawn({ name: "n" }, function* () {}); } } }`, found: ["hoist"] },
    { code: `${start} while (n) spawn(function* () {}); }`, found: ["hoist"] },
    { code: `${start} do { spawn(function* () {}); } while (n); }`, found: ["hoist"] },
    {
      code: `import { EventLoop } from "fibril"; const loop = new EventLoop(); for (const n in list) loop.spawn(function* () {});`,
      found: ["hoist"],
    },
  ],
);
