"""The rows of the benchmark in Python's asyncio: python3 bench.py ROW SIZE [SLEEP_MS] [WINDOW_MS].

Measures as measure.ts does (work that grows, warm-up, the fastest sample) and prints one line of JSON, null when the tasks
have to sleep longer. Each row stands beside its like in rows/*.ts and does and checks the same.
"""

import asyncio
import json
import random
import sys
import time

WINDOW_MS = 300
CONTROLS = 10
FIRE_MS = 50
ROOM = 64
LIMIT = 100


def check(holds, claim):
    if not holds:
        raise SystemExit(f"Error: the contestant did not do the work: {claim}")


# --- switch


async def switch(n, ops):
    per_task = max(3, -(-ops // n) + 2)
    stop_at = n * (per_task - 2)
    arrived = ticks = 0
    started_at = stopped_at = 0.0

    async def task():
        nonlocal arrived, ticks, started_at, stopped_at
        await asyncio.sleep(0)
        arrived += 1
        if arrived == n:
            check(ticks == 0, "a task ran twice before another ran once")
            started_at = time.perf_counter()
        for _ in range(1, per_task):
            await asyncio.sleep(0)
            ticks += 1
            if ticks == stop_at:
                stopped_at = time.perf_counter()

    await asyncio.gather(*[asyncio.create_task(task()) for _ in range(n)])
    check(ticks == n * (per_task - 1), f"{ticks} turns")
    return (stopped_at - started_at) * 1e9, stop_at


# --- spawn, spawn-wait, spawn-closure


async def returns(i):
    return i + 1


async def waits(i):
    await asyncio.sleep(0)
    return i + 1


def spawning(child):
    async def spawn(n, ops):
        batches = max(1, -(-ops // n))
        total = 0
        started_at = time.perf_counter()
        for _ in range(batches):
            if child is None:
                tasks = []
                for i in range(n):

                    async def closure(i=i):
                        return i + 1

                    tasks.append(asyncio.create_task(closure()))
            else:
                tasks = [asyncio.create_task(child(i)) for i in range(n)]
            total += sum(await asyncio.gather(*tasks))
        ns = (time.perf_counter() - started_at) * 1e9
        check(total == batches * n * (n + 1) // 2, "the results do not add up")
        return ns, batches * n

    return spawn


# --- timers


def mixed(n):
    numbers = random.Random(n)
    return [1 + numbers.randrange(59_000) / 1_000 for _ in range(n)]


def timing(timed, delays):
    async def timers(n, _ops):
        loop = asyncio.get_running_loop()
        seconds = delays(n)
        fired = 0

        def fire():
            nonlocal fired
            fired += 1

        started_at = time.perf_counter()
        handles = [loop.call_later(delay, fire) for delay in seconds]
        set_at = time.perf_counter()
        for handle in handles:
            handle.cancel()
        cancelled_at = time.perf_counter()
        for _ in range(CONTROLS):
            loop.call_later(0.001, fire)
        await asyncio.sleep(0.02)
        check(fired == CONTROLS, f"{fired} timers fired instead of {CONTROLS}")
        begin = set_at if timed == "cancel" else started_at
        end = set_at if timed == "set" else cancelled_at
        return (end - begin) * 1e9, n

    return timers


async def timers_fire(n, _ops):
    loop = asyncio.get_running_loop()
    numbers = random.Random(n)
    done = loop.create_future()
    left = n

    def fire():
        nonlocal left
        left -= 1
        if left == 0:
            done.set_result(None)

    for _ in range(n):
        loop.call_later((1 + numbers.randrange(FIRE_MS)) / 1_000, fire)
    time.sleep((FIRE_MS + 5) / 1_000)
    started_at = time.perf_counter()
    await done
    return (time.perf_counter() - started_at) * 1e9, n


# --- channel, channel-buffered, channel-many


def delivering(capacity):
    async def deliver(n, ops):
        per_sender = -(-ops // n)
        queue = asyncio.Queue(capacity)
        expected = [0] * n

        async def send(sender):
            for i in range(per_sender):
                await queue.put(i * n + sender)

        started_at = time.perf_counter()
        senders = [asyncio.create_task(send(i)) for i in range(n)]
        for _ in range(n * per_sender):
            value = await queue.get()
            sender = value % n
            if expected[sender] * n + sender != value:
                check(False, f"{value} came out of turn")
            expected[sender] += 1
        ns = (time.perf_counter() - started_at) * 1e9
        await asyncio.gather(*senders)
        return ns, n * per_sender

    return deliver


# --- lock


async def lock(n, ops):
    per_task = -(-ops // n)
    guard = asyncio.Lock()
    inside = left = 0

    async def work():
        nonlocal inside, left
        for _ in range(per_task):
            async with guard:
                inside += 1
                if inside != 1:
                    check(False, "two tasks were inside")
                await asyncio.sleep(0)
                inside -= 1
                left += 1

    started_at = time.perf_counter()
    await asyncio.gather(*[asyncio.create_task(work()) for _ in range(n)])
    ns = (time.perf_counter() - started_at) * 1e9
    check(left == n * per_task, f"the lock was taken {left} times")
    return ns, left


# --- map


async def map_concurrent(n, ops):
    batches = max(1, -(-ops // n))
    items = list(range(n))
    total = 0
    started_at = time.perf_counter()
    for _ in range(batches):
        limit = asyncio.Semaphore(LIMIT)

        async def limited(item):
            async with limit:
                return await waits(item)

        total += sum(await asyncio.gather(*[limited(item) for item in items]))
    ns = (time.perf_counter() - started_at) * 1e9
    check(total == batches * n * (n + 1) // 2, "the results do not add up")
    return ns, batches * n


# --- cancel


async def cancel(n, ops):
    batches = max(1, ops // n)
    ended = 0
    ns = 0.0

    async def sleeper():
        nonlocal ended
        try:
            await asyncio.sleep(600)
        finally:
            ended += 1

    for _ in range(batches):
        tasks = [asyncio.create_task(sleeper()) for _ in range(n)]
        await asyncio.sleep(0)
        started_at = time.perf_counter()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        ns += (time.perf_counter() - started_at) * 1e9
    check(ended == batches * n, f"{ended} came to their end")
    return ns, batches * n


TIMED = {
    "switch": switch,
    "spawn": spawning(returns),
    "spawn-wait": spawning(waits),
    "spawn-closure": spawning(None),
    "timers": timing("both", mixed),
    "timers-set": timing("set", mixed),
    "timers-cancel": timing("cancel", mixed),
    "timers-same": timing("both", lambda n: [30] * n),
    "timers-fire": timers_fire,
    "channel": delivering(1),
    "channel-buffered": delivering(ROOM),
    "channel-many": delivering(1),
    "lock": lock,
    "map": map_concurrent,
    "cancel": cancel,
}


async def measure_time(program, n, window_ms):
    sample_ms = window_ms * 2 / 15
    small = min(n, 1_000)
    ops = max(small, 1_000)
    until = time.perf_counter() + window_ms * 2 / 3 / 1_000
    while True:
        ns, done = await program(small, ops)
        is_long = ns / 1e6 >= sample_ms or done < ops
        if is_long and time.perf_counter() >= until:
            break
        if not is_long:
            ops = int(ops * min(10, max(2, sample_ms / max(ns / 1e6, 0.001) * 1.2))) + 1
    figures = []
    until = time.perf_counter() + window_ms / 1_000
    while not figures or time.perf_counter() < until:
        ns, done = await program(n, max(n, ops))
        figures.append(ns / done)
    return {"kind": "time", "nsPerOp": min(figures), "samples": len(figures)}


async def measure_memory(n, sleep_ms):
    before = resident("VmRSS")
    started_at = time.perf_counter()
    asleep = awake = parked = 0
    overlapped = False

    async def sleeper():
        nonlocal asleep, awake, parked, overlapped
        asleep += 1
        if asleep == n:
            overlapped = awake == 0
            parked = resident("VmRSS")
        await asyncio.sleep(sleep_ms / 1_000)
        awake += 1

    tasks = [asyncio.create_task(sleeper()) for _ in range(n)]
    for task in tasks:
        await task
    check(awake == n, f"{awake} of {n} tasks woke")
    if not overlapped:
        return None
    life_ms = (time.perf_counter() - started_at) * 1e3
    return {
        "kind": "memory",
        "peakBytes": resident("VmHWM"),
        "beforeBytes": before,
        "parkedBytes": parked,
        "lifeMs": life_ms,
    }


async def measure_lag(n, duration_ms):
    loop = asyncio.get_running_loop()
    started_at = time.perf_counter()
    lags = []
    switches = 0
    over = False
    due_at = 0.0

    def arm():
        nonlocal due_at
        due_at = time.perf_counter() + 0.001
        loop.call_later(0.001, fire)

    def fire():
        if not over:
            lags.append(max(0.0, time.perf_counter() - due_at))
            arm()

    async def task():
        nonlocal switches, over
        while not over:
            switches += 1
            if switches & 63 == 0 and time.perf_counter() - started_at >= duration_ms / 1_000:
                over = True
            await asyncio.sleep(0)

    arm()
    await asyncio.gather(*[asyncio.create_task(task()) for _ in range(n)])
    ended_at = time.perf_counter()
    fired = len(lags)
    if ended_at > due_at or not lags:
        lags.append(max(0.0, ended_at - due_at))
    lags.sort()

    def at(share):
        return lags[min(len(lags) - 1, int(len(lags) * share))] * 1e3

    return {
        "kind": "lag",
        "p50Ms": at(0.5),
        "p99Ms": at(0.99),
        "maxMs": lags[-1] * 1e3,
        "fired": fired,
        "nsPerSwitch": (ended_at - started_at) * 1e9 / switches,
    }


def resident(what):
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith(what + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main():
    row, n = sys.argv[1], int(sys.argv[2])
    sleep_ms = int(sys.argv[3]) if len(sys.argv) > 3 else 1_000
    window_ms = int(sys.argv[4]) if len(sys.argv) > 4 else WINDOW_MS
    if row == "memory":
        measured = measure_memory(n, sleep_ms)
    elif row == "lag":
        measured = measure_lag(n, window_ms * 4)
    else:
        measured = measure_time(TIMED[row], n, window_ms)
    print(json.dumps(asyncio.run(measured)))


main()
