export { all } from "./all.ts";
export type { Results } from "./all.ts";
export { race } from "./race.ts";
