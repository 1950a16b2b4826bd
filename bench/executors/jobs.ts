/** Fibril's jobs of the benchmark; the same functions as in `functions.ts`. */
import { job } from "fibril/executors/worker";
import type { Job } from "fibril/executors/worker";
import * as functions from "./functions.ts";

interface Pair {
  readonly a: number;
  readonly b: number;
}

export const add: Job<[pair: Pair], number> = job(import.meta.url, functions.add);
export const mandelbrot: Job<[row: number], number> = job(import.meta.url, functions.mandelbrot);
export const hashPassword: Job<[password: string], string> = job(import.meta.url, functions.hashPassword);
export const parse: Job<[text: string], number> = job(import.meta.url, functions.parse);
