/**
 * The part of the kernel that needs no event loop: its errors, the clock, the host.
 *
 * A thread that only runs plain functions loads nothing else of the kernel. So these three files, and this one, import nothing that does.
 */
export { Cancelled } from "./cancelled.ts";
export { CancelledError, describeValue, FibrilError, UsageError } from "./errors.ts";
export { kernelPresence, systemClock } from "./host.ts";
