import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { execute, program } from "./program.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

const promises =
  "no leak, no lost error, every finally and release once, no scope outlived, no cancellation outside its scope, nothing after the end";

const target = fc.constantFrom("main" as const, "stepped" as const);

describe(`any program keeps the promises: ${promises}`, () => {
  test(
    "as it is, in the order of the loop and in seeded orders",
    () => {
      fc.assert(
        fc.property(program, fc.option(fc.nat(), { nil: undefined }), (body, seed) => {
          expect(execute(body, seed === undefined ? {} : { seed }).broken).toEqual([]);
        }),
        runs(500),
      );
    },
    LAW_TIMEOUT_MS,
  );

  test(
    "cancelled at any step",
    () => {
      fc.assert(
        fc.property(program, fc.nat(), target, fc.option(fc.nat(), { nil: undefined }), (body, at, whom, seed) => {
          const options = seed === undefined ? {} : { seed };
          const { steps } = execute(body, options);
          expect(execute(body, options, { at: at % (steps + 1), target: whom }).broken).toEqual([]);
        }),
        runs(500),
      );
    },
    LAW_TIMEOUT_MS,
  );
});

test(
  "any program does the same with framed calls and with native delegation",
  () => {
    fc.assert(
      fc.property(program, fc.nat(), fc.nat(), (body, at, seed) => {
        const framed = execute(body, { seed });
        const native = execute(body, { seed }, undefined, { withoutFrames: true });
        expect(native.trace).toEqual(framed.trace);
        const cancellation = { at: at % (framed.steps + 1), target: "main" } as const;
        expect(execute(body, { seed }, cancellation, { withoutFrames: true }).trace).toEqual(
          execute(body, { seed }, cancellation).trace,
        );
      }),
      runs(60),
    );
  },
  LAW_TIMEOUT_MS,
);

test(
  "any program does the same while somebody looks at all await stacks after every step",
  () => {
    fc.assert(
      fc.property(program, fc.nat(), (body, seed) => {
        expect(execute(body, { seed }, undefined, { looking: true }).trace).toEqual(execute(body, { seed }).trace);
      }),
      runs(60),
    );
  },
  LAW_TIMEOUT_MS,
);

test(
  "any program has the same trace every time with the same seed",
  () => {
    fc.assert(
      fc.property(program, fc.nat(), (body, seed) => {
        expect(execute(body, { seed }).trace).toEqual(execute(body, { seed }).trace);
      }),
      runs(60),
    );
  },
  LAW_TIMEOUT_MS,
);
