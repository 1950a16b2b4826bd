/** What a contestant is: given a course and a meter, it makes its requests. It reports begin and end of each. */
import type { Measured } from "../protocol.ts";
import type { Meter } from "./meter.ts";

export interface Course {
  readonly url: string;
  readonly requests: number;
  readonly delayMs: number;
  readonly meter: Meter;
}

/** Prepares, calls `meter.open()`, makes the requests, and returns what `meter.close()` says. */
export type Contest = (course: Course) => Promise<Measured>;
