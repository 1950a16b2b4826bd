/**
 * The only file that loads `bullmq` and `ioredis`: both are optional peers, loaded when the first job is sent or claimed.
 */
import type * as bullmq from "bullmq";
import type * as ioredis from "ioredis";
import { EngineMissingError } from "./errors.ts";

export interface BullPackages {
  readonly bullmq: typeof bullmq;
  readonly ioredis: IoredisModule;
}

type IoredisModule = Pick<typeof ioredis, "Redis">;

/** @param load Where they come from, so that a test can take them away. @throws {EngineMissingError} */
export async function importBull(load: Loaders = LOADERS): Promise<BullPackages> {
  return {
    bullmq: await loaded("bullmq", "^6", load.bullmq),
    ioredis: await loaded("ioredis", "^5 || ^6", load.ioredis),
  };
}

export interface Loaders {
  readonly bullmq: () => Promise<typeof bullmq>;
  readonly ioredis: () => Promise<IoredisModule>;
}

const LOADERS: Loaders = { bullmq: () => import("bullmq"), ioredis: () => import("ioredis") };

async function loaded<T>(name: string, range: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw new EngineMissingError(name, range, error);
  }
}
