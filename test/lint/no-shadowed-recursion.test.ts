import { checkRule } from "./rule-tester.ts";

checkRule(
  "no-shadowed-recursion",
  [
    // The same function.
    `import { coroutine } from "fibril"; const walk = coroutine(function* walk(n) { yield* walk(n - 1); });`,
    `import { coroutine } from "fibril"; const walk = coroutine("walk", function* walk(n) { yield* walk(n - 1); });`,
    // The constant, not the function inside.
    `import { sleep } from "fibril"; const walk = limited(function* (n) { yield* sleep(1); yield* walk(n - 1); });`,
    `import { sleep } from "fibril"; const walk = limited(function* inner(n) { yield* sleep(1); yield* inner(n - 1); });`,
    // No recursion.
    `import { sleep } from "fibril"; const walk = limited(function* walk(n) { yield* sleep(n); });`,
    `import { sleep } from "fibril"; const walk = function* walk(n) { yield* sleep(n); yield* walk(n - 1); };`,
    // No coroutine.
    `const walk = memoized(function* walk(n) { yield n; yield* walk(n - 1); });`,
  ],
  [
    {
      code: `import { sleep } from "fibril"; const walk = limited(function* walk(n) { yield* sleep(1); yield* walk(n - 1); });`,
      found: [
        {
          id: "shadowed",
          becomes: [
            [
              "removeName",
              `import { sleep } from "fibril"; const walk = limited(function* (n) { yield* sleep(1); yield* walk(n - 1); });`,
            ],
          ],
        },
      ],
    },
    {
      code: `import { coroutine, sleep } from "fibril"; const w = limited(coroutine(function* w() { yield* sleep(1); spawn(w); }));`,
      found: [
        {
          id: "shadowed",
          becomes: [
            [
              "removeName",
              `import { coroutine, sleep } from "fibril"; const w = limited(coroutine(function* () { yield* sleep(1); spawn(w); }));`,
            ],
          ],
        },
      ],
    },
    {
      code: `import { debounce, sleep } from "fibril"; const save = debounce(50, function* save() { yield* sleep(1); save(); });`,
      found: [
        {
          id: "shadowed",
          becomes: [
            [
              "removeName",
              `import { debounce, sleep } from "fibril"; const save = debounce(50, function* () { yield* sleep(1); save(); });`,
            ],
          ],
        },
      ],
    },
  ],
);
