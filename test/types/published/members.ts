/**
 * The members that an editor offers on what a program holds most often: no more than these. The compiler strips what
 * is marked `@internal`; whoever adds a member that users shall see, adds it here.
 */
import type { EventLoop, Future, Scope, Task } from "fibril";

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;

export const task: Same<
  Exclude<keyof Task<unknown>, symbol>,
  | "awaitStack"
  | "cancel"
  | "id"
  | "isCancelling"
  | "isSettled"
  | "loop"
  | "name"
  | "outcome"
  | "owner"
  | "parent"
  | "spawnedAt"
  | "state"
  | "steps"
  | "then"
  | "waitingFor"
> = true;

export const scope: Same<
  Exclude<keyof Scope, symbol>,
  | "cancel"
  | "cancelled"
  | "cleanupMs"
  | "deadline"
  | "defer"
  | "effectiveDeadline"
  | "isLeft"
  | "loop"
  | "name"
  | "size"
  | "spawn"
  | "start"
  | "tasks"
> = true;

export const future: Same<
  Exclude<keyof Future<unknown>, symbol>,
  "external" | "isSettled" | "name" | "reject" | "resolve" | "then" | "tryReject" | "tryResolve"
> = true;

export const loop: Same<
  Exclude<keyof EventLoop, symbol>,
  | "addProbe"
  | "callAt"
  | "callLater"
  | "callSoon"
  | "hold"
  | "name"
  | "now"
  | "post"
  | "random"
  | "report"
  | "root"
  | "spawn"
  | "statistics"
  | "tasks"
> = true;
