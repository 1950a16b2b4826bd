/**
 * Signals for a process and everything that it has started.
 *
 * On POSIX a process of its own group (`detached`) gives its id to the group, and a negative id reaches all members, also
 * after the leader has ended. The id may be given to a stranger once the last member is gone, so a group that was seen empty
 * is never signalled again. Members that outlive the leader and then end are zombies until the system's first process reaps them.
 * In a container that may take seconds or for ever, so on Linux zombies are told from the living. Windows has no groups and no
 * signals: only the process itself is ended, at once, whatever the signal.
 */
import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import nodeProcess from "node:process";
import { forgetAtEnd, killAtEnd } from "./process-orphans.ts";

export const HAS_GROUPS: boolean = nodeProcess.platform !== "win32";

export class ProcessGroup {
  readonly #child: ChildProcess;
  readonly #isGroup: boolean;
  #isGone = false;

  /** @param isGroup Whether it was started with `detached`, on a system that has groups. */
  constructor(child: ChildProcess, isGroup: boolean) {
    this.#child = child;
    this.#isGroup = isGroup;
    killAtEnd(this);
  }

  /** Whether the process or, in a group, anything else of it is left. Zombies count; a look costs 1 µs. */
  get isAlive(): boolean {
    if (!this.#isGone && !(this.#isGroup ? this.#signalGroup(0) : this.#isRunning)) this.#setGone();
    return !this.#isGone;
  }

  /** `false` when nothing is left that could get it. */
  kill(signal: NodeJS.Signals): boolean {
    if (this.#isGone) return false;
    return this.#isGroup ? this.#signalGroup(signal) : this.#child.kill(signal);
  }

  /** SIGKILL; nothing survives it, so that is the last we need to know of the group. */
  end(): void {
    if (this.isAlive) this.kill("SIGKILL");
    this.#setGone();
  }

  /** `false` when at most zombies are left. Looks at every process of the system, some milliseconds; Linux only. */
  hasLiving(): boolean {
    if (!this.isAlive) return false;
    if (!this.#isGroup || hasLivingMember(this.#child.pid!)) return true;
    this.end(); // for one that was born while we looked
    return false;
  }

  get #isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  #signalGroup(signal: NodeJS.Signals | 0): boolean {
    try {
      return nodeProcess.kill(-this.#child.pid!, signal);
    } catch {
      // ESRCH: nobody is left. EPERM: on macOS only zombies are left; or all of them run as another user, out of our reach.
      if (!this.#isRunning) this.#setGone();
      return false;
    }
  }

  #setGone(): void {
    this.#isGone = true;
    forgetAtEnd(this);
  }
}

function hasLivingMember(group: number): boolean {
  if (nodeProcess.platform !== "linux") return true;
  try {
    return readdirSync("/proc").some((entry) => {
      if (!/^\d+$/.test(entry)) return false;
      const { state, groupOf } = statusOf(entry);
      return groupOf === group && state !== "Z" && state !== "X";
    });
  } catch {
    return true; // no /proc here: nobody knows
  }
}

function statusOf(pid: string): { readonly state?: string; readonly groupOf?: number } {
  try {
    // "pid (name) state parent group …", and the name may hold anything
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state = "", , group = ""] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { state, groupOf: Number(group) };
  } catch {
    return {}; // it has ended meanwhile
  }
}
