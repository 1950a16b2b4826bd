import { checkRule } from "./rule-tester.ts";

checkRule(
  "no-yield-without-star",
  [
    `import { sleep } from "fibril"; function* f() { yield* sleep(1); }`,
    // Generators that are no coroutines.
    `import { sleep } from "fibril"; function* numbers() { yield 1; yield 2; } for (const n of numbers()) {}`,
    `import { all } from "fibril"; function* numbers() { yield 1; yield* more(); }`,
    `import { more } from "./more.js"; function* numbers() { yield 1; yield* more(); }`,
    `import { mapConcurrent } from "fibril"; function* jobs() { yield 1; } mapConcurrent(jobs(), work);`,
    `import { sleep } from "fibril"; function* f() { yield* sleep(1); const ids = function* () { yield 1; }; }`,
    // Async generators have a rule of their own.
    `import { sleep } from "fibril"; async function* f() { yield 1; yield* sleep(1); }`,
  ],
  [
    {
      code: `import { run, sleep } from "fibril"; run(function* () { yield sleep(1); });`,
      found: ["operation"],
      output: `import { run, sleep } from "fibril"; run(function* () { yield* sleep(1); });`,
    },
    {
      code: `import { run, sleep } from "fibril"; function* main() { yield sleep(1); } run(main);`,
      found: ["operation"],
      output: `import { run, sleep } from "fibril"; function* main() { yield* sleep(1); } run(main);`,
    },
    {
      code: `import { spawn, sleep } from "fibril"; function* f() { yield* sleep(1); const t = spawn(g); yield t; }`,
      found: ["operation"],
      output: `import { spawn, sleep } from "fibril"; function* f() { yield* sleep(1); const t = spawn(g); yield* t; }`,
    },
    {
      code: `import { sleep } from "fibril"; function* f() { yield* sleep(1); yield; }`,
      found: [{ id: "nothing", becomes: [] }],
    },
    {
      code: `import { sleep, yieldNow } from "fibril"; function* f() { yield* sleep(1); yield; }`,
      found: [
        {
          id: "nothing",
          becomes: [
            [
              "addYieldNow",
              `import { sleep, yieldNow } from "fibril"; function* f() { yield* sleep(1); yield* yieldNow(); }`,
            ],
          ],
        },
      ],
    },
    {
      code: `import { until } from "fibril"; function* f() { yield* until(a); yield fetch(b); }`,
      found: [
        {
          id: "promise",
          becomes: [
            ["addUntil", `import { until } from "fibril"; function* f() { yield* until(a); yield* until(fetch(b)); }`],
          ],
        },
      ],
    },
    {
      code: `import { sleep } from "fibril"; function* f() { yield* sleep(1); yield 1; yield other(); }`,
      found: [
        { id: "value", becomes: [] },
        {
          id: "value",
          becomes: [
            ["addStar", `import { sleep } from "fibril"; function* f() { yield* sleep(1); yield 1; yield* other(); }`],
          ],
        },
      ],
    },
    // A coroutine by what waits for it, by the lists it stands in, by its wrapper, by its class.
    {
      code: `import { run } from "fibril"; function* g() { yield 1; } run(function* () { yield* g(); });`,
      found: [{ id: "value", becomes: [] }],
    },
    {
      code: `import { all } from "fibril"; function* g() { yield 1; } const h = () => all([g(), g]);`,
      found: [{ id: "value", becomes: [] }],
    },
    {
      code: `import { all } from "fibril"; const h = () => all({ a: function* () { yield 1; } });`,
      found: [{ id: "value", becomes: [] }],
    },
    {
      code: `import { coroutine } from "fibril"; const g = coroutine(function* () { yield 1; });`,
      found: [{ id: "value", becomes: [] }],
    },
    {
      code: `import { Lock } from "fibril"; class A { #lock = new Lock(); *f() { yield* this.#lock.acquire(); yield 1; } }`,
      found: [{ id: "value", becomes: [] }],
    },
  ],
);
