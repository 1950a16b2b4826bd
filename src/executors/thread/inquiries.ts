/**
 * Questions to a thread, and who waits for the answers.
 *
 * A thread that is busy does not answer, and an inspector asks again and again. So each question is on its way only once: whoever asks the same
 * meanwhile gets the next answer, because this one may be from before they asked.
 */
import type { TaskAnswer, TaskQuestion } from "../../core/index.ts";

interface Inquiry {
  readonly question: TaskQuestion;
  readonly hearers: Set<(answer: TaskAnswer) => void>;
  /** Those who have asked since. */
  readonly later: Set<(answer: TaskAnswer) => void>;
}

export class Inquiries {
  readonly #send: (key: string, question: TaskQuestion) => void;
  /** By question. */
  readonly #asked = new Map<string, Inquiry>();

  constructor(send: (key: string, question: TaskQuestion) => void) {
    this.#send = send;
  }

  /** Returns what takes the question back. */
  ask(question: TaskQuestion, hear: (answer: TaskAnswer) => void): () => void {
    const key = JSON.stringify(question);
    const asked = this.#asked.get(key);
    const hearers = asked?.later ?? new Set();
    hearers.add(hear);
    if (asked === undefined) this.#begin(key, { question, hearers, later: new Set() });
    return () => void hearers.delete(hear);
  }

  heard(key: string, answer: TaskAnswer): void {
    const { question, hearers, later } = this.#asked.get(key)!;
    this.#asked.delete(key);
    if (answer.status === "ended") for (const hear of later) hear(answer);
    else if (later.size > 0) this.#begin(key, { question, hearers: later, later: new Set() });
    for (const hear of hearers) hear(answer);
  }

  /** The thread is gone. */
  end(): void {
    for (const key of [...this.#asked.keys()]) this.heard(key, { status: "ended" });
  }

  #begin(key: string, inquiry: Inquiry): void {
    this.#asked.set(key, inquiry);
    this.#send(key, inquiry.question);
  }
}
