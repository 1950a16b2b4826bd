/**
 * Values between tasks: handed over once (channels, queues), to everybody (broadcast), or only the latest (watch).
 */
export { Broadcast } from "./broadcast.ts";
export type { BroadcastOptions, BroadcastStatistics, LagPolicy } from "./broadcast.ts";
export { Channel } from "./channel.ts";
export type { ChannelOptions } from "./channel.ts";
export type { ChannelStatistics } from "./channel-state.ts";
export type { FeedOptions } from "./capacity.ts";
export { ChannelClosedError, LaggedError, QueueShutDownError } from "./errors.ts";
export { LifoQueue } from "./lifo-queue.ts";
export { PriorityQueue } from "./priority-queue.ts";
export type { PriorityOrder, PriorityQueueOptions } from "./priority-queue.ts";
export { Queue } from "./queue.ts";
export { Receiver } from "./receiver.ts";
export { select, trySelect } from "./select.ts";
export type { Selected, SelectedAt, SelectOptions } from "./select.ts";
export { Sender } from "./sender.ts";
export { Subscription } from "./subscription.ts";
export type { SubscriptionStatistics } from "./subscription.ts";
export type { Taken } from "./take.ts";
export { Observer, Watch } from "./watch.ts";
export type { ObserveOptions, WatchOptions, WatchStatistics } from "./watch.ts";
export { WorkQueue } from "./work-queue.ts";
export type { QueueOptions, QueueStatistics, ShutdownOptions } from "./work-queue.ts";
