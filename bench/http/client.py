"""aiohttp: client.py WORK ORIGIN PATH CONCURRENCY MS. The same work as client.ts; prints one line of JSON."""

import asyncio
import json
import resource
import sys
import time

import aiohttp

WORK, ORIGIN, PATH = sys.argv[1:4]
CONCURRENCY, WINDOW = int(sys.argv[4]), int(sys.argv[5]) / 1000
URL = ORIGIN + PATH
MIN_WARM_UP = 5000


async def batch(session, more, done):
    async def lane():
        while more():
            begun = time.perf_counter()
            async with session.get(URL) as response:
                await response.text()
            done(begun)

    await asyncio.gather(*(lane() for _ in range(CONCURRENCY)))


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def get(session):
    warm, left = time.perf_counter(), [MIN_WARM_UP]

    def more():
        left[0] -= 1
        return left[0] >= 0 or time.perf_counter() - warm < WINDOW / 2

    await batch(session, more, lambda begun: None)
    latencies = []
    begun, before = time.perf_counter(), cpu()
    await batch(
        session,
        lambda: time.perf_counter() < begun + WINDOW,
        lambda at: latencies.append((time.perf_counter() - at) * 1000),
    )
    spent, took = cpu() - before, time.perf_counter() - begun
    latencies.sort()
    count = len(latencies)
    return {
        "rate": count / took,
        "cpuUs": spent / count * 1e6,
        "p50Ms": latencies[count // 2],
        "p99Ms": latencies[int(count * 0.99)],
    }


async def hold(session):
    async with session.get(ORIGIN + "/512") as response:
        await response.text()
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    left, finished, before = [CONCURRENCY], [0], cpu()

    def more():
        left[0] -= 1
        return left[0] >= 0

    def done(_):
        finished[0] += 1

    await batch(session, more, done)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "kibPerRequest": (peak - idle) / CONCURRENCY,
        "peakMb": peak * 1024 / 1e6,
        "cpuS": cpu() - before,
        "errors": CONCURRENCY - finished[0],
    }


async def main():
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        print(json.dumps(await {"get": get, "hold": hold}[WORK](session)))


asyncio.run(main())
