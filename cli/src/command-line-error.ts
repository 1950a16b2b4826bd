/** A command line that cannot be carried out. `main.ts` prints its one sentence and ends with exit code 2. */
export class CommandLineError extends Error {
  override readonly name = "CommandLineError";
}
