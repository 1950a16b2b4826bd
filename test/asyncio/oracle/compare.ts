/**
 * Two traces next to each other, for people.
 */
const WIDTH = 58;
/** Lines before the first difference, and after it. */
const BEFORE = 12;
const AFTER = 8;

/** CPython's trace to the left, ours to the right, from a little before the first difference; `≠` marks the lines that differ. */
export function sideBySide(expected: string, actual: string, around: number = AFTER): string {
  const left = expected.split("\n");
  const right = actual.split("\n");
  const length = Math.max(left.length, right.length);
  let first = 0;
  while (first < length && left[first] === right[first]) first++;
  const start = Math.max(0, first - BEFORE - around + AFTER);
  const lines = [`  ${"CPython".padEnd(WIDTH)} fibril/asyncio`];
  if (start > 0) lines.push(`  … ${start} equal lines`);
  for (let at = start; at < Math.min(length, first + around); at++) {
    const mark = left[at] === right[at] ? " " : "≠";
    lines.push(`${mark} ${(left[at] ?? "").padEnd(WIDTH)} ${right[at] ?? ""}`);
  }
  return lines.join("\n");
}
