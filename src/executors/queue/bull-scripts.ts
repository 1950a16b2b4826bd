/**
 * What has to happen in Redis in one step: an outcome is written and told, once. And what is asked in one, for the sake of round trips.
 *
 * A command may be sent twice, when the connection was lost before its answer: the same record again is a success.
 */
import type { Redis } from "ioredis";

/** What a lock ends with when the outcome of its job is written. */
export const ENDED = "+";

/**
 * Of a job that a worker has: only while the lock is its own. The lock becomes another one, and only who has that may take the job out of the queue: what is sent
 * behind this script does nothing when it has failed. (A Redis that is full refuses to write a record, and yet completes jobs, since that makes room.)
 * KEYS: record, lock. ARGV: record, time to live, channel, beginning of the message, lock.
 */
const FINISH = `
local known = redis.call("GET", KEYS[1])
if known then
  if known == ARGV[1] then return 1 end
  return 0
end
if redis.call("GET", KEYS[2]) ~= ARGV[5] then return 0 end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
redis.call("SET", KEYS[2], ARGV[5] .. "${ENDED}", "PX", math.max(1, redis.call("PTTL", KEYS[2])))
redis.call("PUBLISH", ARGV[3], ARGV[4] .. ARGV[1] .. "}")
return 1
`;

/** Of a job that nobody has. KEYS: record. ARGV: record, time to live, channel, beginning of the message. */
const SETTLE = `
local known = redis.call("GET", KEYS[1])
if known then
  if known == ARGV[1] then return 1 end
  return 0
end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
redis.call("PUBLISH", ARGV[3], ARGV[4] .. ARGV[1] .. "}")
return 1
`;

/** A job is put back: counted once for each lease, and only while that holds. KEYS: counters, lock. ARGV: which one, time to live, lock. */
const COUNT = `
if redis.call("GET", KEYS[2]) ~= ARGV[3] then return 0 end
if redis.call("HGET", KEYS[1], "by") ~= ARGV[3] then
  redis.call("HINCRBY", KEYS[1], ARGV[1], 1)
  redis.call("HSET", KEYS[1], "by", ARGV[3])
end
redis.call("PEXPIRE", KEYS[1], ARGV[2])
return 1
`;

/**
 * Of a firing that may not overlap: whether the one that was begun last has ended. If so this one is the last.
 * Of a schedule that is gone nothing is noted. KEYS: its time, the schedule. ARGV: our time, beginnings of the keys of jobs, and of records.
 */
export const HOLD_FIRING = `
local last = redis.call("GET", KEYS[1])
if last and last ~= ARGV[1] and redis.call("EXISTS", ARGV[2] .. last) == 1 and redis.call("EXISTS", ARGV[3] .. last) == 0 then
  return 0
end
if redis.call("EXISTS", KEYS[2]) == 1 then redis.call("SET", KEYS[1], ARGV[1]) end
return 1
`;

const KNOWN = `
local function known(record, cancel, counters)
  local texts = redis.call("MGET", record, cancel)
  local counts = redis.call("HMGET", counters, "failure", "refusal")
  local time = redis.call("TIME")
  return {texts[1], texts[2], counts[1], counts[2], time[1], time[2]}
end
`;

/** Of a job: its record, its cancellation, its counters, and what time it is. KEYS: those three. */
const SEE = `${KNOWN}
return known(KEYS[1], KEYS[2], KEYS[3])
`;

/**
 * The same of the job that has a lock, if it is among the latest that were claimed, and its key; but not of firings, whose ids are others. An id is encoded
 * in its key. A claim that was sent twice, since its answer was lost, gives the lock to two jobs: who asks has to look at the key.
 * KEYS: the list of active jobs. ARGV: lock, beginning of the keys of jobs, beginning of ours.
 */
const LOOK = `${KNOWN}
for _, key in ipairs(redis.call("LRANGE", KEYS[1], 0, 15)) do
  if string.sub(key, 1, 1) == "j" and redis.call("GET", ARGV[2] .. key .. ":lock") == ARGV[1] then
    local id = string.gsub(string.sub(key, 2), "%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
    local answer = known(ARGV[3] .. "record:" .. id, ARGV[3] .. "cancel:" .. id, ARGV[3] .. "counters:" .. id)
    table.insert(answer, key)
    return answer
  end
end
return false
`;

/** With our scripts as commands: sent by their hash, not each time as a whole. */
export type ScriptedRedis = Redis & {
  fibrilFinish(
    record: string,
    lock: string,
    ...values: [text: string, ttl: number, channel: string, opening: string, held: string]
  ): Promise<number>;
  fibrilSettle(
    record: string,
    ...values: [text: string, ttl: number, channel: string, opening: string]
  ): Promise<number>;
  fibrilCount(counters: string, lock: string, which: string, ttl: number, held: string): Promise<number>;
  fibrilSee(record: string, cancel: string, counters: string): Promise<(string | null)[]>;
  fibrilLook(active: string, lock: string, theirs: string, ours: string): Promise<(string | null)[] | null>;
};

/** Before the connection is used. */
export function defineScripts(redis: Redis): void {
  redis.defineCommand("fibrilFinish", { numberOfKeys: 2, lua: FINISH });
  redis.defineCommand("fibrilSettle", { numberOfKeys: 1, lua: SETTLE });
  redis.defineCommand("fibrilCount", { numberOfKeys: 2, lua: COUNT });
  redis.defineCommand("fibrilSee", { numberOfKeys: 3, lua: SEE });
  redis.defineCommand("fibrilLook", { numberOfKeys: 1, lua: LOOK });
}
