export { sleep } from "./sleep.ts";
export { moveOnAfter, timeout } from "./timeout.ts";
