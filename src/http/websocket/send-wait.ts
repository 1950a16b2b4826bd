/**
 * The wait of a message that goes out, while as much as may be waits to be written already.
 */
import { QueuedWait } from "../../core/index.ts";
import type { Started, WaitQueue, Waiter } from "../../core/index.ts";

/** Options of one message. */
export interface SendOptions {
  /** Whether to compress it, when `permessage-deflate` was agreed on. Default: `true`. */
  readonly compress?: boolean;
}

export const NO_OPTIONS: SendOptions = Object.freeze({});

/** Who writes. */
export interface MessageSender {
  readonly label: string;
  readonly line: WaitQueue<void, SendWait>;
  /** Why nothing can be sent, or `null`. */
  refusal(): Error | null;
  /** Whether a message of this size may be written now. */
  hasRoom(bytes: number): boolean;
  write(wait: SendWait): void;
}

export class SendWait extends QueuedWait<void> {
  readonly data: string | Uint8Array;
  readonly options: SendOptions;
  readonly bytes: number;
  readonly #sender: MessageSender;

  constructor(sender: MessageSender, data: string | Uint8Array, options: SendOptions) {
    super(sender.line);
    this.#sender = sender;
    this.data = data;
    this.options = options;
    this.bytes = typeof data === "string" ? Buffer.byteLength(data) : data.byteLength;
  }

  get reason(): string {
    return `send to ${this.#sender.label}`;
  }

  /** The peer ends it, by reading. */
  override get external(): boolean {
    return true;
  }

  protected attempt(task: Waiter): Started<void> | null {
    const refusal = this.#sender.refusal();
    if (refusal !== null) return task.fail(this, refusal);
    if (!this.#sender.hasRoom(this.bytes)) return null;
    this.#sender.write(this);
    return task.complete(this, undefined);
  }
}
