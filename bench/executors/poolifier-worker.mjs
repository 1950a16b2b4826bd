import { ThreadWorker } from "poolifier";
import { add } from "./functions.ts";

export default new ThreadWorker(add);
