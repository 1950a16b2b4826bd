import { describe } from "vitest";
import { checkRule } from "./rule-tester.ts";

const imports = `import { Cancelled, sleep, shield } from "fibril";`;

/** A coroutine that waits in a `try` with this clause. */
function clause(text: string, importing = imports): string {
  return `${importing} function* f() { try { yield* sleep(1); } ${text} }`;
}

function swallows(text: string, guarded: string, id = "swallowed"): Parameters<typeof checkRule>[2][number] {
  const error = /\((\w+)\)/.exec(guarded)?.[1] ?? "error";
  const guards = [
    ["letCancelledThrough", `if (${error} instanceof Cancelled) throw ${error};`],
    ["letThrough", `if (!(${error} instanceof Error)) throw ${error};`],
  ] as const;
  return {
    code: clause(text),
    found: [{ id, becomes: guards.map(([name, guard]) => [name, clause(guarded.replace("GUARD", guard))]) }],
  };
}

describe("what lets Cancelled through", () => {
  checkRule(
    "no-swallowed-cancelled",
    [
      clause(`finally { log(); }`),
      clause(`catch (error) { throw error; }`),
      clause(`catch (error) { log(error); throw error; }`),
      clause(`catch (error) { if (error instanceof Cancelled) throw error; log(error); }`),
      clause(`catch (error) { if (!(error instanceof Error)) throw error; log(error); }`),
      clause(`catch (error) { if (error instanceof Error) log(error); else throw error; }`),
      clause(`catch (error) { if (!(error instanceof TypeError) && !(error instanceof RangeError)) throw error; }`),
      clause(`catch (error) { if (error instanceof TypeError || error.code === "ENOENT") return null; throw error; }`),
      clause(`catch (error) { if (error instanceof Error && retries > 0) return null; throw error; }`),
      clause(`catch (error) { if (error?.code !== "ENOENT") throw error; }`),
      clause(`catch (error) { switch (error.code) { case "ENOENT": return null; default: throw error; } }`),
      clause(`catch (error) { if (error instanceof Error) { log(error); } else { throw error; } }`),
      clause(`catch (error) { try { cleanup(); } finally { log(); } throw error; }`),
      // A test that cannot be decided has the benefit of the doubt.
      clause(`catch (error) { if (isNotFound(error)) return null; throw error; }`),
      clause(`catch (error) { if (!isNotFound(error)) throw error; }`),
      clause(`catch (error) { rethrowCancelled(error); log(error); }`),
      clause(`catch (error) { throw describe(error); }`),
      // Put away for what follows.
      `${imports} function* f() { let failure; try { yield* sleep(1); } catch (error) { failure = error; } if (failure) throw failure; }`,
      `${imports} function* f() { let first = null; try { yield* sleep(1); } catch (error) { first = { error }; } yield* end(first); }`,
      // Nothing waits in the block, or nothing there can be cancelled.
      `${imports} function* f() { yield* sleep(1); try { parse(); } catch {} }`,
      `${imports} function* f() { try { yield* shield(sleep(1)); } catch {} }`,
      `${imports} function* f() { try { const g = function* () { yield* sleep(1); }; } catch {} }`,
      // No coroutine.
      `function* f() { try { yield* other(); } catch {} }`,
      `async function f() { try { await other(); } catch {} }`,
    ],
    [],
  );
});

describe("what does not", () => {
  checkRule(
    "no-swallowed-cancelled",
    [],
    [
      swallows(`catch {}`, `catch (error) { GUARD}`),
      swallows(`catch { log(); }`, `catch (error) { GUARD log(); }`),
      swallows(`catch { error(); }`, `catch (thrown) { GUARD error(); }`),
      swallows(`catch (error) { log(error); }`, `catch (error) { GUARD log(error); }`),
      swallows(`catch (e) { return e; }`, `catch (e) { GUARD return e; }`),
      swallows(
        `catch (error) { if (attempt === 3) throw error; }`,
        `catch (error) { GUARD if (attempt === 3) throw error; }`,
      ),
      swallows(
        `catch (error) { if (error instanceof Error) throw error; }`,
        `catch (error) { GUARD if (error instanceof Error) throw error; }`,
      ),
      swallows(
        `catch (error) { if (error instanceof Cancelled) return; throw error; }`,
        `catch (error) { GUARD if (error instanceof Cancelled) return; throw error; }`,
      ),
      swallows(
        `catch (error) { if (error.name === "AbortError") throw error; }`,
        `catch (error) { GUARD if (error.name === "AbortError") throw error; }`,
      ),
      swallows(
        `catch (error) { switch (error.code) { case "A": throw error; default: log(); } }`,
        `catch (error) { GUARD switch (error.code) { case "A": throw error; default: log(); } }`,
      ),
      swallows(
        `catch (error) { switch (error.code) { case "A": throw error; } }`,
        `catch (error) { GUARD switch (error.code) { case "A": throw error; } }`,
      ),
      swallows(
        `catch (error) { for (const it of list) throw error; }`,
        `catch (error) { GUARD for (const it of list) throw error; }`,
      ),
      // Thrown as something else.
      swallows(
        `catch (error) { throw new Error("failed", { cause: error }); }`,
        `catch (error) { GUARD throw new Error("failed", { cause: error }); }`,
        "replaced",
      ),
      {
        code: clause(`catch ({ message }) { log(message); }`),
        found: [{ id: "swallowed", becomes: [] }],
      },
      // Without the import only the other guard is offered.
      {
        code: clause(`catch {}`, `import { sleep } from "fibril";`),
        found: [
          {
            id: "swallowed",
            becomes: [
              [
                "letThrough",
                clause(
                  `catch (error) { if (!(error instanceof Error)) throw error;}`,
                  `import { sleep } from "fibril";`,
                ),
              ],
            ],
          },
        ],
      },
      // In a loop, putting it away keeps the cancellation back for a whole turn.
      {
        code: `import { sleep } from "fibril"; function* f() { let last; for (;;) { try { yield* sleep(1); } catch (error) { last = error; } } throw last; }`,
        found: [
          {
            id: "swallowed",
            becomes: [
              [
                "letThrough",
                `import { sleep } from "fibril"; function* f() { let last; for (;;) { try { yield* sleep(1); } catch (error) { if (!(error instanceof Error)) throw error; last = error; } } throw last; }`,
              ],
            ],
          },
        ],
      },
    ],
  );
});
