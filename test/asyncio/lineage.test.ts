/**
 * The behaviours of CPython and trio that this library has taken over, by the names of the tests there: none is lost.
 * Most are claims of other files; the ones that needed more room are here.
 */
import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { currentTask, sleep as kernelSleep } from "fibril";
import type { Task as KernelTask } from "fibril";
import { describe, expect, test } from "vitest";
import { CancelledError, sleep, TaskGroup, timeout, wrapOperation } from "../../src/asyncio/index.ts";
import type { Coroutine, ExceptionGroup } from "../../src/asyncio/index.ts";
import { now, play, thrownIn } from "./virtual.ts";

const CPYTHON = `
  test_call_later_negative_delays test__run_once_cancelled_event_cleanup test_run_forever_pre_stopped test_set_exc_handler_broken
  test_schedule_callbacks_list_mutation_1 test_tb_logger_exception_unretrieved test_wrap_future_cancel test_yield_from_twice
  test_cancel_inner_future test_cancel_both_task_and_inner_future test_cancel_task_catching test_cancel_task_ignoring
  test_cancel_current_task test_cancel_at_end test_cancel_awaited_task test_cancellation_exception_context
  test_uncancel_basic test_uncancel_structured_blocks test_uncancel_resets_must_cancel test_baseexception_during_cancel
  test_task_awaits_on_itself test_wait_first_completed test_wait_really_done test_wait_first_exception_in_wait
  test_wait_with_timeout test_as_completed_with_timeout test_as_completed_same_tasks_in_as_out test_one_exception
  test_return_exceptions test_cancel_gather_2 test_cancellation_broadcast test_one_cancellation test_gather_shield
  test_shield_cancel_outer_exception test_yield_wait_does_not_shield_cancel test_sleep_cancel test_context_4
  test_run_coroutine_threadsafe_with_timeout test_wait_for_timeout_less_then_0_or_0_coroutine_do_not_started
  test_wait_for_waits_for_task_cancellation test_wait_for_cancel_suppressed test_wait_for_issue86296
  test_nested_timeouts_loop_busy test_foreign_cancel_doesnt_timeout_if_not_expired test_cancel_in_timeout_after_cancellation
  test_timeout_taskgroup test_cancel_children_on_child_error test_nested_groups_both_cancelled test_error_and_cancel
  test_cancels_task_if_created_during_creation test_taskgroup_no_create_task_after_failure test_taskgroup_25
  test_cancel_release_race test_cancelled_wakeup test_cancelled_error_re_aquire test_acquire_fifo_order_4 test_acquire_no_hang
  test_get_cancelled_race test_graph test_tools`;

const TRIO = `
  test_cancel_edge_cases test_cancel_shielding test_cancel_inheritance test_unshield_while_cancel_propagating
  test_precancelled_task test_cancel_unbound test_current_effective_deadline test_move_on_after_moves_on_even_if_shielded
  test_cancel_scope_misnesting_1 test_cancel_scope_exceptiongroup_filtering test_nursery_start test_nursery_start_keeps_nursery_open
  test_task_tree_introspection test_channel_fairness test_close_multiple_send_handles test_generic_lock_fifo_fairness
  test_mock_clock_autojump test_run_in_worker_thread_cancellation test_cancel_reason_nursery`;

const names = (text: string): string[] => text.trim().split(/\s+/);

describe("each behaviour has a test that bears its name", () => {
  const root = fileURLToPath(new URL("../", import.meta.url));
  const titles = globSync("{asyncio,core,executors}/**/*.test.ts", { cwd: root })
    .map((path) => readFileSync(root + path, "utf8"))
    .flatMap((text) => [...text.matchAll(/\btest(?:\.\w+)?\(\s*"([^"]+)"/g)].map((match) => match[1]!));

  test.each([...names(CPYTHON), ...names(TRIO)])("%s", (name) => {
    expect(titles.filter((title) => new RegExp(String.raw`\b${name}\b`).test(title))).not.toEqual([]);
  });
});

describe("two runtimes, one cancellation", () => {
  test("test_wrap_future_cancel, test_wrap_future_cancel2: it flows both ways between a future and what it stands for", () => {
    play(function* () {
      const log: string[] = [];
      const future = wrapOperation(function* () {
        try {
          yield* kernelSleep(10_000);
        } finally {
          yield* kernelSleep(1000);
          log.push("cleaned up");
        }
      });
      yield* sleep(1);
      future.cancel();
      expect(yield* thrownIn(future)).toBeInstanceOf(CancelledError);
      expect([log, now()]).toEqual([["cleaned up"], 2]);

      let behind: KernelTask<unknown> | undefined;
      const other = wrapOperation(function* () {
        behind = currentTask();
        yield* kernelSleep(10_000);
      });
      yield* sleep(1);
      behind!.cancel();
      expect(yield* thrownIn(other)).toBeInstanceOf(CancelledError);
      expect([other.cancelled(), now()]).toEqual([true, 3]);
    });
  });
});

describe("limits around groups", () => {
  test("test_timeout_taskgroup: what a cleanup throws when the time is over comes out, and the limit knows that it expired", () => {
    play(function* () {
      const crash = new RangeError("in cleanup");
      const limit = timeout(1);
      function* child(): Coroutine<void> {
        try {
          yield* sleep(5);
        } finally {
          // oxlint-disable-next-line no-unsafe-finally -- a crash in the cleanup is what the claim is about
          throw crash;
        }
      }
      const error = yield* thrownIn(
        limit.with(() =>
          new TaskGroup().with(function* (group) {
            group.createTask(child());
            try {
              throw new TypeError("hidden by the cancellation in finally, as in Python");
            } finally {
              yield* sleep(5);
            }
          }),
        ),
      );
      expect((error as ExceptionGroup).errors).toEqual([crash]);
      expect([limit.expired(), now()]).toEqual([true, 1]);
    });
  });
});
