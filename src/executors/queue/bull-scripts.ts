/**
 * What has to happen in Redis in one step: an outcome is written and told, once.
 *
 * A command may be sent twice, when the connection was lost before its answer: the same record again is a success.
 */

/** Of a job that a worker has: only while the lock is its own. KEYS: record, lock. ARGV: record, time to live, channel, message, lock. */
export const FINISH = `
local known = redis.call("GET", KEYS[1])
if known then
  if known == ARGV[1] then return 1 end
  return 0
end
if redis.call("GET", KEYS[2]) ~= ARGV[5] then return 0 end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
redis.call("PUBLISH", ARGV[3], ARGV[4])
return 1
`;

/** Of a job that nobody has. KEYS: record. ARGV: record, time to live, channel, message. */
export const SETTLE = `
local known = redis.call("GET", KEYS[1])
if known then
  if known == ARGV[1] then return 1 end
  return 0
end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
redis.call("PUBLISH", ARGV[3], ARGV[4])
return 1
`;

/** A job is put back: counted once for each lease, and only while that holds. KEYS: counters, lock. ARGV: which one, time to live, lock. */
export const COUNT = `
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
