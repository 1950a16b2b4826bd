import fc from "fast-check";
import { expect, test } from "vitest";
import { LineSplitter, TOO_LONG } from "../../src/fetch/line-splitter.ts";

function split(chunks: readonly Uint8Array[], longest?: number): (string | typeof TOO_LONG)[] {
  const splitter = new LineSplitter(longest);
  return [...chunks.flatMap((chunk) => [...splitter.push(chunk)]), ...splitter.end()];
}

test("however the bytes are cut, the lines are the same", () => {
  const line = fc.string({ unit: fc.constantFrom("a", "é", "漢", "🙂", "\r", " ") });
  fc.assert(
    fc.property(fc.array(line), fc.boolean(), fc.array(fc.nat({ max: 400 })), (lines, endsWithNewline, cuts) => {
      const text = lines.join("\n") + (endsWithNewline ? "\n" : "");
      const bytes = Buffer.from(text);
      const places = [...new Set(cuts.map((cut) => Math.min(cut, bytes.length)))].sort((one, other) => one - other);
      const chunks = [0, ...places].map((start, index) => bytes.subarray(start, places[index] ?? bytes.length));
      const expected = text.split("\n");
      if (expected.at(-1) === "") expected.pop(); // the end of the last line begins no other
      expect(split(chunks)).toEqual(expected);
    }),
  );
});

test("a byte order mark is dropped, and what is no UTF-8 does not stop it", () => {
  expect(split([Buffer.from("\uFEFFa\nb")])).toEqual(["a", "b"]);
  expect(split([Uint8Array.of(0x61, 0xff, 0x0a, 0x62)])).toEqual(["a\uFFFD", "b"]);
});

test("a line that is too long is reported once and not kept, and the next one is whole", () => {
  const long = Buffer.alloc(50, "x");
  expect(split([long, long, long, Buffer.from("\nnext\n")], 60)).toEqual([TOO_LONG, "next"]);
  expect(split([Buffer.from("short\n"), long, long], 60)).toEqual(["short", TOO_LONG]);
  expect(split([Buffer.concat([long, long, Buffer.from("\nnext")])], 60)).toEqual([TOO_LONG, "next"]);
});
