/** The thread of the disk: saves what it is sent, batch by batch, and answers with what went wrong. See `disk.ts`. */
import { parentPort } from "node:worker_threads";
import { unpacked } from "./batch.ts";
import type { Answer, Batch, Problem } from "./batch.ts";
import { saveFiles } from "./save-file.ts";

parentPort!.on("message", (batch: Batch) => {
  const { files, bodies } = unpacked(batch);
  const problems: Problem[] = [];
  for (const [index, problem] of saveFiles(files, (index) => [bodies[index]!]).entries()) {
    if (problem !== null) problems.push({ index, code: problem.code, message: problem.message });
  }
  const { buffer } = batch.bytes;
  const answer: Answer = { problems, buffer };
  parentPort!.postMessage(answer, [buffer]);
});
