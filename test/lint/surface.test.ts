import { expect, test } from "vitest";
import { CLASSES, MODULES } from "../../src/lint/surface-data.ts";
import { deriveSurface } from "./surface.ts";

test("the rules know the exports as they are; else run: node test/lint/surface.ts", () => {
  expect({ modules: MODULES, classes: CLASSES }).toEqual(deriveSurface());
});

test("operations, what takes coroutines and what begins with the call are told apart", () => {
  const { functions, classes } = MODULES["fibril"]!;
  expect(functions["sleep"]).toEqual({ operation: "lazy" });
  expect(functions["spawn"]).toEqual({ value: "Task", bodies: [[{ at: 1 }], [{ at: 0 }]] });
  expect(functions["all"]).toEqual({ operation: "lazy", bodies: [[{ at: 0, isList: true }]] });
  expect(functions["scope"]).toEqual({ operation: "lazy", bodies: [[{ at: 0, gives: ["Scope"] }]] });
  expect(functions["run"]).toEqual({ promise: true, bodies: [[{ at: 0 }]] });
  expect(functions["until"]).toEqual({ operation: "lazy" }); // its function makes a promise
  expect(functions).not.toHaveProperty("defer"); // its function may be async
  expect(classes["Task"]).toBe("Task");
  expect(CLASSES["Task"]).toMatchObject({
    isOperation: true,
    isAwaitable: true,
    methods: { cancel: { operation: "begun" } },
  });
  expect(CLASSES["Session"]!.statics).toEqual({ open: { operation: "lazy", value: "Session" } });
  expect(CLASSES["Session"]!.methods).toMatchObject({
    get: { operation: "lazy", value: "HttpResponse" },
    close: { operation: "begun" },
  });
});
