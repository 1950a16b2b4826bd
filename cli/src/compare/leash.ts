/**
 * Ends this process when its standard input ends.
 *
 * That is the leash of the slow server and of the contestants: the conductor holds the other end of the pipe, and the
 * system closes it when the conductor goes, even by `kill -9`. So none of them can be left behind.
 */
export function endWithConductor(): void {
  process.stdin.on("end", () => process.exit(0));
  process.stdin.on("error", () => process.exit(0));
  process.stdin.resume();
}
