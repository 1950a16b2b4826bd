/**
 * For the programs of the documents, which sleep on the real clock and print in the order in which they wake: a clock that does not count the
 * time in which the process stood still, because a busy machine ran others. Else a program in which one sleeps for 150 ms and another three
 * times for 10 prints something else than it says when it is held up in between.
 *
 * `node --import …/patient-clock.ts PROGRAM`. It looks at the real clock every few milliseconds, and of a longer gap it counts `MOST_MS`.
 */
const LOOK_EVERY_MS = 2;
const MOST_MS = 8;

const realNow = performance.now.bind(performance);
let last = realNow();
let shown = last;

performance.now = (): number => {
  const now = realNow();
  shown += Math.min(now - last, MOST_MS);
  last = now;
  return shown;
};
setInterval(performance.now, LOOK_EVERY_MS).unref();
