import type { Measured } from "../protocol.ts";
import type { Course } from "./contest.ts";

/** No request at all. What it measures is the process itself. */
export function contest({ meter }: Course): Promise<Measured> {
  meter.open();
  return Promise.resolve(meter.close());
}
