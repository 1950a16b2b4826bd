/** The work of every contestant: plain functions, so that each pool can import them as it likes. */
import { scryptSync } from "node:crypto";

export function add({ a, b }: { readonly a: number; readonly b: number }): number {
  return a + b;
}

/** One row of the set, about 20 ms. */
export function mandelbrot(row: number): number {
  const width = 800;
  const y0 = (row / 100) * 2 - 1;
  let inside = 0;
  for (let column = 0; column < width; column++) {
    const x0 = (column / width) * 3 - 2;
    let x = 0;
    let y = 0;
    let steps = 0;
    while (x * x + y * y <= 4 && steps < 10_000) {
      const next = x * x - y * y + x0;
      y = 2 * x * y + y0;
      x = next;
      steps++;
    }
    if (steps === 10_000) inside++;
  }
  return inside;
}

export function hashPassword(password: string): string {
  return scryptSync(password, "salt", 64, { N: 16_384 }).toString("hex");
}

export function parse(text: string): number {
  return (JSON.parse(text) as unknown[]).length;
}
