/**
 * The process in which CPython lives: loads pyodide once, then answers each message of programs with their traces.
 *
 * A process of its own, so that whatever happens to CPython (an endless program, a full memory, a stack overflow in
 * WebAssembly, which no Python code can catch) costs one batch and not the run.
 */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { loadPyodide } = await import(pathToFileURL(`${process.argv[2]}/pyodide.mjs`).href);
const python = await loadPyodide();
python.runPython("import warnings; warnings.simplefilter('ignore')");
const source = readFileSync(new URL("./interpreter.py", import.meta.url), "utf8");
python.FS.writeFile("/interpreter.py", source);
python.runPython("import sys; sys.path.insert(0, '/')");
const interpreter = python.pyimport("interpreter");

process.on("message", (/** @type {{ programs: string }} */ { programs }) => {
  const begun = process.hrtime.bigint();
  try {
    const traces = interpreter.record(programs);
    process.send?.({ traces, ms: Number(process.hrtime.bigint() - begun) / 1e6 });
  } catch (error) {
    process.send?.({ error: String(error) });
  }
});
process.send?.(JSON.parse(interpreter.about()));
