/**
 * The events of all sessions in Node's `diagnostics_channel`, for those who cannot get at the session: agents, loggers, test setups.
 *
 * One channel for all kinds, because their order matters, and because asking one channel whether somebody has subscribed is all that
 * a request costs while nobody has. Whoever subscribes while a request is under way sees the ones that begin afterwards.
 */
import { channel } from "node:diagnostics_channel";
import type { ConditionalObserver } from "./events.ts";

/** The name of the channel. Each message is a `RequestEvent`, as observers get it. */
export const REQUEST_CHANNEL = "fibril:http:request";

const requests = channel(REQUEST_CHANNEL);

// A subscriber that throws is reported by Node, to the process; none can harm the request.
export const diagnostics: ConditionalObserver = {
  get isListening(): boolean {
    return requests.hasSubscribers;
  },
  event: (event) => requests.publish(event),
};
