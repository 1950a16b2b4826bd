import { expect, test } from "vitest";
import { placesOf } from "../../src/compare/contestants/stack-places.ts";

test("the places of a coroutine are its own files, innermost first, down to where the loop resumed it", () => {
  const stack = `Error
    at <anonymous>:1:1
    at Atomics.wait (<anonymous>)
    at requestSync (file:///app/request%20sync.ts:24:11)
    at node:internal/foo:1:2
    at file:///app/main.ts:7:3
    at get.next (<anonymous>)
    at EventLoop.step (file:///lib/event-loop.ts:341:20)`;
  expect(placesOf(stack)).toEqual([
    { file: "request sync.ts", line: 24, column: 11, function: "requestSync" },
    { file: "main.ts", line: 7, column: 3, function: "" },
  ]);
});

test("a text that is no stack has no places", () => {
  expect(placesOf("")).toEqual([]);
  expect(placesOf("[object Object]")).toEqual([]);
});
