import type { Measured } from "../protocol.ts";
import type { Course } from "./contest.ts";

/** Plain promises and the `fetch` that Node brings along. */
export async function contest({ url, requests, meter }: Course): Promise<Measured> {
  async function get(index: number): Promise<void> {
    meter.begin(index);
    const response = await fetch(url);
    await response.text();
    meter.end(index, response.ok);
  }

  meter.open();
  await Promise.all(Array.from({ length: requests }, (_, index) => get(index)));
  return meter.close();
}
