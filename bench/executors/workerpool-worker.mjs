import workerpool from "workerpool";
import { add } from "./functions.ts";

workerpool.worker({ add });
