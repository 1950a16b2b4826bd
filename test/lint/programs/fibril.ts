/** A module that passes Fibril's exports on. */
export * from "fibril";
export * from "../../../src/sync/index.ts";
export * from "../../../src/channels/index.ts";
