/** A thread that is none: it answers when the test says so. */
import { taskSources } from "../../src/lowlevel.ts";
import type { TaskAnswer, TaskQuestion, TaskSource, TaskSourceJob } from "../../src/lowlevel.ts";

let lastThread = 9_000;

export class FakeSource implements TaskSource {
  readonly threadId: number = ++lastThread;
  readonly name: string;
  readonly role = "pool worker";
  readonly executor = "cpu";
  readonly asked: TaskQuestion[] = [];
  jobList: TaskSourceJob[] = [];
  heard = 7;
  takenBack = 0;
  /** What it says at once; `null`: nothing until `say`. */
  readonly #atOnce: TaskAnswer | null;
  #hear: ((answer: TaskAnswer) => void) | null = null;

  constructor(name: string, atOnce: TaskAnswer | null = null) {
    this.name = name;
    this.#atOnce = atOnce;
  }

  heardMs(): number {
    return this.heard;
  }

  jobs(): TaskSourceJob[] {
    return this.jobList;
  }

  ask(question: TaskQuestion, hear: (answer: TaskAnswer) => void): () => void {
    this.asked.push(question);
    if (this.#atOnce === null) this.#hear = hear;
    else hear(this.#atOnce);
    return () => {
      this.takenBack++;
      this.#hear = null;
    };
  }

  say(answer: TaskAnswer): void {
    this.#hear?.(answer);
  }

  get isAsked(): boolean {
    return this.#hear !== null;
  }

  [Symbol.dispose](): void {
    taskSources.delete(this);
  }
}

/** Registers it until the end of the block. */
export function fakeSource(name: string, atOnce: TaskAnswer | null = null): FakeSource {
  const source = new FakeSource(name, atOnce);
  taskSources.add(source);
  return source;
}
