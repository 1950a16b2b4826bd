"""The judge: runs programs (see program.ts) on CPython's own asyncio and records their traces.

The event loop is asyncio's `BaseEventLoop` without a selector: when nothing is ready, its clock jumps to the next
timer. Three things that CPython leaves open are pinned, so that a program has exactly one trace: timers with equal
deadlines fire in the order in which they were made, a task group aborts its tasks in the order in which they were
made, and the sets that `wait` returns are sorted. Everything else is CPython, C accelerator included.

interpret.ts is the same file in TypeScript: same order of functions, same texts. Keep them side by side.
"""

import asyncio
import contextvars
import gc
import heapq
import inspect
import itertools
import json
import sys
import warnings
from asyncio import base_events, events

QUARTER = 0.25  # seconds in a unit of time: sums of quarters are exact in binary
MOST_STATEMENTS = 400
MOST_TASKS = 40
MOST_TURNS = 20_000
MOST_ROUNDS = 10

WHEN = (asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED)
QUEUES = {"fifo": asyncio.Queue, "lifo": asyncio.LifoQueue, "prio": asyncio.PriorityQueue}


class E(Exception):
    def __init__(self, number):
        super().__init__(number)
        self.number = number


class Idle(Exception):
    """Nothing is ready and no timer runs."""


class OrderedTimer(events.TimerHandle):
    __slots__ = ("_order",)

    def __lt__(self, other):
        return (self._when, self._order) < (other._when, other._order)


class VirtualLoop(base_events.BaseEventLoop):
    def __init__(self):
        super().__init__()
        self._now = 0.0
        self._clock_resolution = 1e-9
        self._selector = self
        self._orders = itertools.count()
        self._turns = 0

    def select(self, timeout):
        self._turns += 1
        if timeout is None or self._turns > MOST_TURNS:
            raise Idle
        if timeout > 0:
            self._now = self._scheduled[0]._when
        return []

    def _process_events(self, event_list):
        pass

    def _write_to_self(self):
        pass

    def time(self):
        return self._now

    def call_at(self, when, callback, *args, context=None):
        timer = OrderedTimer(when, callback, args, self, context)
        timer._order = next(self._orders)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer


class OrderedSet(dict):
    def add(self, item):
        self[item] = None

    def discard(self, item):
        self.pop(item, None)


class TaskGroup(asyncio.TaskGroup):
    def __init__(self):
        super().__init__()
        self._tasks = OrderedSet()


class Return:
    """A block that ended by `return`."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Env:
    """What is around a statement: the innermost group and timeout, and the error a handler handles."""

    __slots__ = ("group", "timeout", "error")

    def __init__(self, group, timeout, error):
        self.group = group
        self.timeout = timeout
        self.error = error


def text(value):
    """A value or an error, as traces show it."""
    if value is None:
        return "None"
    if value is True:
        return "True"
    if value is False:
        return "False"
    if isinstance(value, BaseException):
        if isinstance(value, E):
            return f"E{value.number}"
        if isinstance(value, asyncio.CancelledError):
            return f"Cancelled:{value.args[0]}" if value.args and value.args[0] else "Cancelled"
        if isinstance(value, BaseExceptionGroup):
            return f"Group[{','.join(map(text, value.exceptions))}]"
        return type(value).__name__
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(text, value))}]"
    return str(value)


def matches(kind, error):
    if isinstance(error, GeneratorExit):
        return False
    if kind == "E":
        return isinstance(error, E)
    if kind == "Exception":
        return isinstance(error, Exception)
    if kind == "Cancelled":
        return isinstance(error, asyncio.CancelledError)
    if kind == "Timeout":
        return isinstance(error, TimeoutError)
    if kind == "Group":
        return isinstance(error, BaseExceptionGroup)
    return True  # "Base"


class Run:
    def __init__(self, program):
        self.program = program
        self.loop = VirtualLoop()
        self.lines = []
        self.statements = 0
        self.closed = False
        self.tasks = []  # in the order of their creation; strong, since asyncio's own references are weak
        self.names = {}
        self.slots = {}
        self.handles = {}
        self.waits = {}  # for every task that awaits others directly: which
        self.behind = {}  # for every future made of tasks: which
        self.contexts = {}
        self.callbacks = {}

    # Resources belong to the loop that runs, so they are made by the first step of the main task.
    def make_resources(self):
        r = self.program["res"]
        self.locks = [asyncio.Lock() for _ in range(r.get("lock", 0))]
        self.sems = [
            (asyncio.BoundedSemaphore if bounded else asyncio.Semaphore)(value) for value, bounded in r.get("sem", [])
        ]
        self.events = [asyncio.Event() for _ in range(r.get("ev", 0))]
        self.conds = []
        for i in range(r.get("cond", 0)):
            shares = r.get("shared", False) and i < len(self.locks)
            self.conds.append(asyncio.Condition(self.locks[i]) if shares else asyncio.Condition())
        self.counts = [0 for _ in self.conds]
        self.barriers = [asyncio.Barrier(parties) for parties in r.get("bar", [])]
        self.queues = [QUEUES[kind](size) for kind, size in r.get("q", [])]
        self.futures = [self.loop.create_future() for _ in range(r.get("fut", 0))]
        self.vars = [contextvars.ContextVar(f"v{i}", default=0) for i in range(r.get("ctx", 0))]
        self.tokens = [None for _ in self.vars]

    def log(self, what, result=None):
        if self.closed:
            return
        task = asyncio.current_task() if events._get_running_loop() is not None else None
        name = "-" if task is None else self.name(task)
        time = f"{self.loop.time() / QUARTER:g}"
        self.lines.append(f"{time} {name} {what}" if result is None else f"{time} {name} {what} {result}")

    def name(self, task):
        name = self.names.get(task)
        if name is None:
            name = self.names[task] = f"t{len(self.tasks)}"
            self.tasks.append(task)
        return name

    def go(self):
        self.loop.set_exception_handler(self.unhandled)
        main = self.loop.create_task(self.fn(None, 0))
        self.name(main)
        main.add_done_callback(self.main_done)
        for _ in range(MOST_ROUNDS):
            try:
                self.loop.run_forever()
            except Idle:
                pass
            if self.loop._turns > MOST_TURNS:
                self.log("endless")
                break
            if not self.cancel_rest("idle"):
                break
        self.log("end")
        self.closed = True
        self.loop.close()
        return "\n".join(self.lines)

    def main_done(self, main):
        self.cancel_rest("over")

    def cancel_rest(self, why):
        rest = [task for task in self.tasks if not task.done()]
        if rest or why == "over":
            self.log(why, text([self.names[task] for task in rest]))
        for task in rest:
            task.cancel()
        return len(rest) > 0

    def unhandled(self, loop, context):
        message = context["message"]
        if "never retrieved" in message or "destroyed" in message:
            return  # says when the garbage collector ran
        error = context.get("exception")
        self.log("unhandled", f"{text(error)}")

    async def fn(self, env, number, awaited=None):
        if awaited is not None:
            awaited.append(asyncio.current_task())
        self.log(f"start{number}")
        if number == 0:
            self.make_resources()
        try:
            result = await self.block(env or Env(None, None, None), self.program["fns"][number])
        except GeneratorExit:
            raise
        except BaseException as error:
            self.log(f"fail{number}", text(error))
            raise
        value = None if result is None else result.value
        self.log(f"end{number}", text(value))
        return value

    async def block(self, env, statements):
        for s in statements:
            if self.closed:
                return None
            self.statements += 1
            if self.statements > MOST_STATEMENTS:
                return Return(None)
            op = s[0]
            plain = PLAIN.get(op)
            if plain is not None:
                self.plain(plain, env, s)
            else:
                result = await WAITING[op](self, env, s)
                if result is not None:
                    return result
        return None

    def plain(self, method, env, s):
        what = label(s)
        try:
            result = method(self, env, s)
        except BaseException as error:
            self.log(what, f"!{text(error)}")
            raise
        self.log(what, text(result))

    # ── statements that do not wait ──────────────────────────────────────────────────────────────────────────────

    def do_log(self, env, s):
        return None

    def do_spawn(self, env, s):
        if len(self.tasks) >= MOST_TASKS:
            return "limit"
        task = self.slots[s[1]] = asyncio.create_task(self.fn(env, s[2]))
        return self.name(task)

    def do_ctxspawn(self, env, s):
        if len(self.tasks) >= MOST_TASKS:
            return "limit"
        context = self.contexts.setdefault(s[3], contextvars.copy_context())
        task = self.slots[s[1]] = asyncio.create_task(self.fn(env, s[2]), context=context)
        return self.name(task)

    def do_gspawn(self, env, s):
        if env.group is None or len(self.tasks) >= MOST_TASKS:
            return "limit"
        task = self.slots[s[1]] = env.group.create_task(self.fn(env, s[2]))
        return self.name(task)

    def do_eager(self, env, s):
        if len(self.tasks) >= MOST_TASKS:
            return "limit"
        task = self.slots[s[1]] = asyncio.create_task(self.fn(env, s[2]), eager_start=True)
        return self.name(task)

    def do_geager(self, env, s):
        if env.group is None or len(self.tasks) >= MOST_TASKS:
            return "limit"
        task = self.slots[s[1]] = env.group.create_task(self.fn(env, s[2]), eager_start=True)
        return self.name(task)

    def do_gcancel(self, env, s):
        if env.group is None:
            return "none"
        env.group.cancel()

    def do_cancel(self, env, s):
        task = self.slots.get(s[1])
        if task is None:
            return "none"
        return task.cancel(s[2]) if s[2] is not None else task.cancel()

    def do_cancelself(self, env, s):
        task = asyncio.current_task()
        return "none" if task is None else task.cancel()

    def do_uncancel(self, env, s):
        task = asyncio.current_task()
        return "none" if task is None else task.uncancel()

    def do_uncanceltask(self, env, s):
        task = self.slots.get(s[1])
        return "none" if task is None else task.uncancel()

    def do_cancelling(self, env, s):
        task = asyncio.current_task()
        return "none" if task is None else task.cancelling()

    def do_tstate(self, env, s):
        task = self.slots.get(s[1])
        if task is None:
            return "none"
        if not task.done():
            return f"pending {task.cancelling()}"
        if task.cancelled():
            return f"cancelled {task.cancelling()}"
        return f"done {text(task.exception())} {task.cancelling()}"

    def do_tresult(self, env, s):
        task = self.slots.get(s[1])
        return "none" if task is None else task.result()

    def do_tcb(self, env, s):
        task = self.slots.get(s[1])
        if task is None:
            return "none"
        number = s[2]

        def callback(task):
            self.log(f"done{number}", self.name(task))

        self.callbacks[number] = callback
        task.add_done_callback(callback)

    def do_tuncb(self, env, s):
        task = self.slots.get(s[1])
        callback = self.callbacks.get(s[2])
        return "none" if task is None or callback is None else task.remove_done_callback(callback)

    def do_release(self, env, s):
        self.locks[s[1]].release()

    def do_locked(self, env, s):
        return self.locks[s[1]].locked()

    def do_semrelease(self, env, s):
        self.sems[s[1]].release()

    def do_semlocked(self, env, s):
        return self.sems[s[1]].locked()

    def do_evset(self, env, s):
        self.events[s[1]].set()

    def do_evclear(self, env, s):
        self.events[s[1]].clear()

    def do_evisset(self, env, s):
        return self.events[s[1]].is_set()

    def do_notify(self, env, s):
        self.conds[s[1]].notify(s[2])

    def do_notifyall(self, env, s):
        self.conds[s[1]].notify_all()

    def do_inc(self, env, s):
        self.counts[s[1]] += 1
        return self.counts[s[1]]

    def do_barstate(self, env, s):
        barrier = self.barriers[s[1]]
        return [barrier.n_waiting, barrier.broken]

    def do_putnw(self, env, s):
        self.queues[s[1]].put_nowait(s[2])

    def do_getnw(self, env, s):
        return self.queues[s[1]].get_nowait()

    def do_taskdone(self, env, s):
        self.queues[s[1]].task_done()

    def do_shutdown(self, env, s):
        self.queues[s[1]].shutdown(immediate=bool(s[2]))

    def do_qstate(self, env, s):
        queue = self.queues[s[1]]
        return [queue.qsize(), queue.empty(), queue.full()]

    def do_futset(self, env, s):
        self.futures[s[1]].set_result(s[2])

    def do_futexc(self, env, s):
        self.futures[s[1]].set_exception(E(s[2]))

    def do_futcancel(self, env, s):
        future = self.futures[s[1]]
        return future.cancel(s[2]) if s[2] is not None else future.cancel()

    def do_futstate(self, env, s):
        future = self.futures[s[1]]
        return [future.done(), future.cancelled()]

    def do_futresult(self, env, s):
        return self.futures[s[1]].result()

    def do_futerror(self, env, s):
        return self.futures[s[1]].exception()

    def do_futnew(self, env, s):
        self.futures[s[1]] = self.loop.create_future()

    def do_futgather(self, env, s):
        tasks = self.tasks_of(s[2])
        future = self.futures[s[1]] = asyncio.gather(*tasks, return_exceptions=s[3])
        self.behind[future] = tasks

    def do_futshield(self, env, s):
        task = self.slots.get(s[2])
        if task is None:
            return "none"
        self.futures[s[1]] = asyncio.shield(task)

    def do_futcb(self, env, s):
        number = s[2]
        self.futures[s[1]].add_done_callback(lambda future: self.log(f"futdone{number}"))

    def do_callsoon(self, env, s):
        self.handles[s[1]] = self.loop.call_soon(self.callback, env, s[2])

    def do_calllater(self, env, s):
        self.handles[s[1]] = self.loop.call_later(s[2] * QUARTER, self.callback, env, s[3])

    def do_callat(self, env, s):
        self.handles[s[1]] = self.loop.call_at(s[2] * QUARTER, self.callback, env, s[3])

    def callback(self, env, statements):
        for s in statements:
            self.statements += 1
            if self.statements > MOST_STATEMENTS:
                return
            self.plain(PLAIN[s[0]], env, s)

    def do_hcancel(self, env, s):
        handle = self.handles.get(s[1])
        if handle is None:
            return "none"
        handle.cancel()
        return handle.cancelled()

    def do_ctxset(self, env, s):
        self.tokens[s[1]] = self.vars[s[1]].set(s[2])

    def do_ctxreset(self, env, s):
        token = self.tokens[s[1]]
        if token is None:
            return "none"
        self.vars[s[1]].reset(token)

    def do_ctxget(self, env, s):
        return self.vars[s[1]].get()

    def do_resched(self, env, s):
        if env.timeout is None:
            return "none"
        env.timeout.reschedule(None if s[1] is None else self.loop.time() + s[1] * QUARTER)

    def do_tmstate(self, env, s):
        if env.timeout is None:
            return "none"
        when = env.timeout.when()
        return f"{'None' if when is None else f'{when / QUARTER:g}'} {text(env.timeout.expired())}"

    def do_split(self, env, s):
        error = env.error
        if not isinstance(error, BaseExceptionGroup):
            return "none"
        match, rest = error.split(lambda e: matches(s[1], e))
        return f"{text(match)} {text(rest)}"

    # ── statements that wait ─────────────────────────────────────────────────────────────────────────────────────

    async def waiting(self, s, awaitable):
        """Awaits, and logs how that ended."""
        what = label(s)
        try:
            result = await awaitable
        except GeneratorExit:
            raise
        except BaseException as error:
            self.log(what, f"!{text(error)}")
            raise
        self.log(what, text(result))

    def would_cycle(self, tasks):
        """Whether to await these would close a cycle: CPython then recurses without end on cancellation."""
        me = asyncio.current_task()
        todo = list(tasks)
        seen = set()
        while todo:
            task = todo.pop()
            if task is me:
                return True
            if task not in seen:
                seen.add(task)
                todo.extend(self.waits.get(task, ()))
        return False

    async def awaiting(self, s, tasks, make):
        """Awaits other tasks directly; the relation is kept for `would_cycle`."""
        if self.would_cycle(tasks):
            self.log(label(s), "cycle")
            return
        me = asyncio.current_task()
        self.waits[me] = tasks
        try:
            await self.waiting(s, make())
        finally:
            self.waits.pop(me, None)

    async def do_sleep(self, env, s):
        await self.waiting(s, asyncio.sleep(s[1] * QUARTER, s[2] if len(s) > 2 else None))

    async def do_await(self, env, s):
        task = self.slots.get(s[1])
        if task is None:
            self.log(label(s), "none")
        elif task is asyncio.current_task():
            # A RuntimeError; but CPython then marks the task as awaited wrongly, for all who await it later.
            self.log(label(s), "self")
        else:
            await self.awaiting(s, [task], lambda: task)

    async def do_call(self, env, s):
        await self.waiting(s, self.fn(env, s[1]))

    async def do_shield(self, env, s):
        task = self.slots.get(s[1])
        if task is None:
            self.log(label(s), "none")
        else:
            await self.waiting(s, asyncio.shield(task))

    async def do_shieldfn(self, env, s):
        await self.waiting(s, asyncio.shield(self.fn(env, s[1])))

    def tasks_of(self, slots):
        return [self.slots[v] for v in slots if v in self.slots]

    async def do_wait(self, env, s):
        async def wait():
            timeout = None if s[2] is None else s[2] * QUARTER
            done, pending = await asyncio.wait(self.tasks_of(s[1]), timeout=timeout, return_when=WHEN[s[3]])
            order = self.tasks.index
            return [[self.name(t) for t in sorted(part, key=order)] for part in (done, pending)]

        await self.waiting(s, wait())

    async def do_waitfor(self, env, s):
        task = self.slots.get(s[1])
        if task is None:
            self.log(label(s), "none")
        else:
            timeout = None if s[2] is None else s[2] * QUARTER
            await self.awaiting(s, [task], lambda: asyncio.wait_for(task, timeout))

    async def do_waitforfn(self, env, s):
        await self.waiting(s, asyncio.wait_for(self.fn(env, s[1]), None if s[2] is None else s[2] * QUARTER))

    async def do_gather(self, env, s):
        tasks = self.tasks_of(s[1])
        await self.awaiting(s, tasks, lambda: asyncio.gather(*tasks, return_exceptions=s[2]))

    async def do_gatherfn(self, env, s):
        me = asyncio.current_task()
        awaited = self.waits[me] = []
        try:
            coroutines = [self.fn(env, f, awaited) for f in s[1]]
            await self.waiting(s, asyncio.gather(*coroutines, return_exceptions=s[2]))
        finally:
            self.waits.pop(me, None)

    async def do_ascompleted(self, env, s):
        # Tasks that are done already come in the order of a set: at most one of them takes part.
        tasks = []
        for task in self.tasks_of(s[1]):
            if task not in tasks and (not task.done() or not any(t.done() for t in tasks)):
                tasks.append(task)
        if asyncio.current_task() in tasks:
            self.log(label(s), "self")
            return

        async def each():
            async for task in asyncio.as_completed(tasks, timeout=None if s[2] is None else s[2] * QUARTER):
                self.log("next", self.name(task))

        await self.waiting(s, each())

    async def do_timeout(self, env, s):
        at = s[0] == "timeoutat"
        delay = None if s[1] is None else s[1] * QUARTER
        timeout = (asyncio.timeout_at if at else asyncio.timeout)(delay)
        what = label(s)
        try:
            async with timeout:
                result = await self.block(Env(env.group, timeout, env.error), s[2])
        except GeneratorExit:
            raise
        except BaseException as error:
            self.log(what, f"!{text(error)} {text(timeout.expired())}")
            raise
        self.log(what, text(timeout.expired()))
        return result

    async def do_group(self, env, s):
        what = label(s)
        result = None
        try:
            async with TaskGroup() as group:
                result = await self.block(Env(group, env.timeout, env.error), s[1])
        except GeneratorExit:
            raise
        except BaseException as error:
            self.log(what, f"!{text(error)}")
            raise
        self.log(what, "ok")
        return result

    async def within(self, env, s, manager, body):
        """`async with` around a block; logs when it is entered, or that it was not."""
        what = label(s)
        entered = False
        try:
            async with manager:
                entered = True
                self.log(what, "in")
                result = await self.block(env, body)
        except GeneratorExit:
            raise
        except BaseException as error:
            self.log(what, f"{'out' if entered else ''}!{text(error)}")
            raise
        self.log(what, "out")
        return result

    async def do_lock(self, env, s):
        return await self.within(env, s, self.locks[s[1]], s[2])

    async def do_acquire(self, env, s):
        await self.waiting(s, self.locks[s[1]].acquire())

    async def do_sem(self, env, s):
        return await self.within(env, s, self.sems[s[1]], s[2])

    async def do_semacquire(self, env, s):
        await self.waiting(s, self.sems[s[1]].acquire())

    async def do_evwait(self, env, s):
        await self.waiting(s, self.events[s[1]].wait())

    async def do_cond(self, env, s):
        return await self.within(env, s, self.conds[s[1]], s[2])

    async def do_condwait(self, env, s):
        await self.waiting(s, self.conds[s[1]].wait())

    async def do_condwaitfor(self, env, s):
        await self.waiting(s, self.conds[s[1]].wait_for(lambda: self.counts[s[1]] >= s[2]))

    async def do_barrier(self, env, s):
        await self.waiting(s, self.barriers[s[1]].wait())

    async def do_barreset(self, env, s):
        await self.waiting(s, self.barriers[s[1]].reset())

    async def do_barabort(self, env, s):
        await self.waiting(s, self.barriers[s[1]].abort())

    async def do_put(self, env, s):
        await self.waiting(s, self.queues[s[1]].put(s[2]))

    async def do_get(self, env, s):
        await self.waiting(s, self.queues[s[1]].get())

    async def do_join(self, env, s):
        await self.waiting(s, self.queues[s[1]].join())

    def tasks_behind(self, futures):
        return [task for future in futures for task in self.behind.get(future, ())]

    async def do_futawait(self, env, s):
        future = self.futures[s[1]]
        await self.awaiting(s, self.tasks_behind([future]), lambda: future)

    async def do_shieldfut(self, env, s):
        await self.waiting(s, asyncio.shield(self.futures[s[1]]))

    async def do_futwaitfor(self, env, s):
        future = self.futures[s[1]]
        timeout = None if s[2] is None else s[2] * QUARTER
        await self.awaiting(s, self.tasks_behind([future]), lambda: asyncio.wait_for(future, timeout))

    async def do_gatherfut(self, env, s):
        futures = [self.futures[i] for i in s[1]]
        tasks = self.tasks_behind(futures)
        await self.awaiting(s, tasks, lambda: asyncio.gather(*futures, return_exceptions=s[2]))

    async def do_waitfut(self, env, s):
        async def wait():
            futures = [self.futures[i] for i in s[1]]
            timeout = None if s[2] is None else s[2] * QUARTER
            done, pending = await asyncio.wait(futures, timeout=timeout, return_when=WHEN[s[3]])
            return [[i for i, future in zip(s[1], futures) if future in part] for part in (done, pending)]

        await self.waiting(s, wait())

    async def do_try(self, env, s):
        result = None
        try:
            try:
                result = await self.block(env, s[1])
            except BaseException as error:
                handler = next((block for kind, block in s[2] if matches(kind, error)), None)
                if handler is None:
                    raise
                self.log("caught", text(error))
                result = await self.block(Env(env.group, env.timeout, error), handler)
        finally:
            if s[3] and not self.closed:
                self.log("finally")
                last = await self.block(env, s[3])
                if last is not None:
                    return last
        return result

    async def do_repeat(self, env, s):
        for _ in range(s[1]):
            result = await self.block(env, s[2])
            if result is not None:
                return result

    async def do_return(self, env, s):
        self.log(label(s))
        return Return(s[1])

    async def do_raise(self, env, s):
        what = label(s)
        self.log(what)
        kind = s[1]
        if kind == "Cancelled":
            raise asyncio.CancelledError()
        if kind == "Timeout":
            raise TimeoutError()
        if kind == "again":
            if env.error is None:
                return
            raise env.error
        raise E(kind)


def label(s):
    first = s[1] if len(s) > 1 else None
    return f"{s[0]}{first}" if isinstance(first, (int, str)) else s[0]


NAMES = [name[3:] for name in vars(Run) if name.startswith("do_")]
METHODS = {name: getattr(Run, f"do_{name}") for name in NAMES}
METHODS["timeoutat"] = Run.do_timeout
WAITING = {name: method for name, method in METHODS.items() if inspect.iscoroutinefunction(method)}
PLAIN = {name: method for name, method in METHODS.items() if name not in WAITING}


def record(programs):
    """The traces of a JSON array of programs, as a JSON array of strings."""
    traces = []
    events._set_running_loop(None)  # pyodide's own loop counts as running
    for program in json.loads(programs):
        traces.append(Run(program).go())
    gc.collect()
    return json.dumps(traces)


def about():
    return json.dumps({"version": sys.version.split()[0], "groupCancel": hasattr(asyncio.TaskGroup, "cancel")})


gc.disable()
warnings.simplefilter("ignore")
sys.unraisablehook = lambda unraisable: None
