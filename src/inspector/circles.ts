/**
 * Circles of tasks that wait for each other: `a` joins `b`, `b` wants the lock of `c`, `c` ends when its child `a` has.
 *
 * Only waits with one way to end count as edges: a join, a lock and its owner, a scope and its tasks, a job that runs as a task. Each of them needs
 * all that it points at, so a circle of them ends only by a cancellation or a deadline. A `select`, a channel, a future may be served by
 * anybody and is no edge. So what is found is stuck, and not all that is stuck is found.
 */
import type { Snapshot, TaskLink, TaskRecord, ThreadRecord } from "./records.ts";

interface Node {
  readonly link: TaskLink;
  readonly task: TaskRecord;
  readonly loop: number;
  /** `0`: not seen. `1`: on the way that is being walked. `2`: done. */
  mark: 0 | 1 | 2;
}

/**
 * Each circle once, as its tasks in the order of waiting: each one waits for the next, the last one for the first.
 * @example
 * for (const circle of waitCircles(yield* snapshot())) console.error(circle.map((task) => task.name).join(" → "));
 */
export function waitCircles(snapshot: Snapshot): TaskLink[][] {
  const found: TaskLink[][] = [];
  const threads: ThreadRecord[] = [snapshot.thread];
  for (let thread = threads.pop(); thread !== undefined; thread = threads.pop()) {
    found.push(...circlesOf(thread));
    threads.push(...thread.threads);
  }
  return found;
}

function circlesOf({ loops }: ThreadRecord): TaskLink[][] {
  const nodes = new Map<string, Node>();
  const ofScope = new Map<string, Node[]>();
  for (const [loop, { tasks }] of loops.entries()) {
    for (const task of tasks) {
      const node: Node = { link: { loop, id: task.id, name: task.name }, task, loop, mark: 0 };
      nodes.set(`${loop}/${task.id}`, node);
      const scope = `${loop}/${task.scopeId}`;
      const others = ofScope.get(scope);
      if (others === undefined) ofScope.set(scope, [node]);
      else others.push(node);
    }
  }
  const next = ({ task, loop }: Node): readonly (Node | undefined)[] => {
    const { wait } = task;
    if (wait === null) return [];
    if (wait.scopeId !== null) return ofScope.get(`${loop}/${wait.scopeId}`) ?? [];
    const link = wait.task ?? wait.job?.task ?? null;
    return link === null || link.loop === null ? [] : [nodes.get(`${link.loop}/${link.id}`)];
  };
  const found: TaskLink[][] = [];
  for (const start of nodes.values()) if (start.mark === 0) walk(start, next, found);
  return found;
}

/** Depth first, with the way as data: it may be as long as there are tasks. */
function walk(start: Node, next: (node: Node) => readonly (Node | undefined)[], found: TaskLink[][]): void {
  const way = [{ node: start, targets: next(start), at: 0 }];
  start.mark = 1;
  for (let top = way.at(-1); top !== undefined; top = way.at(-1)) {
    const target = top.targets[top.at++];
    if (top.at > top.targets.length) {
      top.node.mark = 2;
      way.pop();
    } else if (target !== undefined && target.mark === 0) {
      target.mark = 1;
      way.push({ node: target, targets: next(target), at: 0 });
    } else if (target !== undefined && target.mark === 1) {
      const first = way.findIndex(({ node }) => node === target);
      found.push(way.slice(first).map(({ node }) => node.link));
    }
  }
}
