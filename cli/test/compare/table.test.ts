import { expect, test } from "vitest";
import { drawTable } from "../../src/compare/show/table.ts";

const columns = [
  { title: "what", align: "left" },
  { title: "time", align: "right" },
  { title: "n", align: "right" },
] as const;

test("columns are as wide as their widest cell", () => {
  expect(
    drawTable(columns, [
      ["one", "1 s", "10"],
      ["another", "100 s", "1"],
    ]),
  ).toEqual(["what      time   n", "one        1 s  10", "another  100 s   1"]);
});

test("the last cell of a short row runs on and widens nothing", () => {
  expect(
    drawTable(columns, [
      ["one", "failed: a long story"],
      ["two", "1 s", "2"],
    ]),
  ).toEqual(["what  time  n", "one   failed: a long story", "two    1 s  2"]);
});
