/**
 * The five ways to make many slow requests, as a table.
 *
 * What each one does is in the folder `contestants/`; this file is all that the conductor and the printers know of them.
 */
export type ContestantKey = "a" | "b" | "c" | "d" | "e";
export type ContestantName = "blocking" | "session" | "fetch" | "threads" | "many";

/** How much there is to do. */
export interface Workload {
  /** The server answers each request after this long. */
  readonly delayMs: number;
  /** Requests of the small contestants: a, b, c. */
  readonly count: number;
  /** Requests of the large ones: d, e. */
  readonly many: number;
}

export interface Contestant {
  readonly key: ContestantKey;
  readonly name: ContestantName;
  readonly title: (requests: number) => string;
  readonly requests: (workload: Workload) => number;
  /** How long its requests should take on a machine with nothing else to do. */
  readonly idealMs: (workload: Workload) => number;
}

const few = (workload: Workload): number => workload.count;
const many = (workload: Workload): number => workload.many;
const oneDelay = (workload: Workload): number => workload.delayMs;

export const CONTESTANTS: readonly Contestant[] = [
  {
    key: "a",
    name: "blocking",
    title: (requests) => `${counted(requests, "coroutine")} that ${requests === 1 ? "blocks" : "block"}`,
    requests: few,
    idealMs: ({ count, delayMs }) => count * delayMs,
  },
  {
    key: "b",
    name: "session",
    title: (requests) => `${counted(requests, "coroutine")}, Session`,
    requests: few,
    idealMs: oneDelay,
  },
  {
    key: "c",
    name: "fetch",
    title: (requests) => `${counted(requests, "promise")} with fetch`,
    requests: few,
    idealMs: oneDelay,
  },
  {
    key: "d",
    name: "threads",
    title: (requests) => `${counted(requests, "thread")} that ${requests === 1 ? "blocks" : "block"}`,
    requests: many,
    idealMs: oneDelay,
  },
  {
    key: "e",
    name: "many",
    title: (requests) => `${counted(requests, "coroutine")}, Session`,
    requests: many,
    idealMs: oneDelay,
  },
];

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
