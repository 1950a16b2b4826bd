/**
 * Single keys from a terminal.
 *
 * For that the terminal stops to make signals and lines of them, so Ctrl-C, Ctrl-Z and Ctrl-\ come here as characters and are sent on as
 * the signals that they mean. Whoever opens it has to close it: a shell that gets such a terminal back is unusable.
 */
export interface KeySource {
  readonly isRaw?: boolean;
  setRawMode(isRaw: boolean): unknown;
  on(event: "data", listener: (data: Buffer | string) => void): unknown;
  off(event: "data", listener: (data: Buffer | string) => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

export type KeySignal = "SIGINT" | "SIGQUIT" | "SIGTSTP";

const SIGNALS: Readonly<Record<string, KeySignal>> = { "\u0003": "SIGINT", "\u001C": "SIGQUIT", "\u001A": "SIGTSTP" };

export class Keyboard {
  readonly #source: KeySource;
  readonly #onKey: (key: string) => void;
  readonly #onSignal: (signal: KeySignal) => void;
  #isOpen = false;

  constructor(source: KeySource, onKey: (key: string) => void, onSignal: (signal: KeySignal) => void) {
    this.#source = source;
    this.#onKey = onKey;
    this.#onSignal = onSignal;
  }

  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#source.setRawMode(true);
    this.#source.on("data", this.#take);
    this.#source.resume();
  }

  /** Gives the terminal back. May be called at any time, more than once. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#source.off("data", this.#take);
    this.#source.setRawMode(false);
    this.#source.pause();
  }

  readonly #take = (data: Buffer | string): void => {
    const text = String(data);
    if (text.startsWith("\u001B")) return; // arrows and the like are several characters, none of them meant
    for (const key of text) {
      const signal = SIGNALS[key];
      if (signal === undefined) this.#onKey(key);
      else this.#onSignal(signal);
    }
  };
}
