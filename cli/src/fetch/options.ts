/** The options of `fibril fetch`, in groups, as its help shows them. */
import { Option } from "commander";
import type { Command } from "commander";
import { DEFAULTS } from "./settings.ts";

export function withOptions(command: Command): Command {
  command
    .argument("[url...]", "get (default), check or api; and what to fetch")
    .optionsGroup("What to fetch:")
    .option(
      "-i, --input <file>",
      "read URLs from a file: URLs, JSON lines, CSV, checksum lists; - is the standard input",
    )
    .option("--format <format>", "how the input is written: auto, lines, csv or tsv (default: by the name of the file)")
    .option("--url <template>", "make the URL from the fields of each line: https://host/users/{{id}}")
    .option("-H, --header <line>", 'send a header, "Name: value"; may be given several times', collect)
    .option("-X, --method <method>", "the method (default: GET, with --data POST); a template as --url is")
    .option("-d, --data <text>", "send this body; a template as --url is")
    .option("--cookies <file>", "read and keep cookies in this file (Netscape format, as curl's)")
    .optionsGroup("Where it goes:")
    .option("-o, --output <folder>", "save each body in this folder, under a name made from its URL")
    .option("--name <template>", "the names of files: {host} {path} {dir} {file} {stem} {ext} {query} {n:6} {sha256} …")
    .option("--ndjson", "print one line of JSON for each URL: status, size, SHA-256, times, error")
    .option("--resume", "keep a journal in the folder of -o, and go on where the last run ended")
    .option("--journal <file>", "keep the journal in this file, and go on where it ends")
    .option("--if-changed", "fetch again only what the server has changed")
    .optionsGroup("How much at once:")
    .addOption(withDefault("-c, --concurrency <n>", "requests at once, or auto", DEFAULTS.concurrency))
    .option("--per-host <n>", "requests at once to one host (default: no limit of its own)")
    .option("--rate <rate>", "requests in a time, such as 100/s or 30/m")
    .option("--rate-per-host <rate>", "requests to one host in a time, such as 5/s")
    .addOption(
      withDefault(
        "--timeout <time>",
        "limit for connecting, for headers, for each silence in a body",
        DEFAULTS.timeout,
      ),
    )
    .option("--max-time <time>", "limit for one try as a whole (default: none)")
    .option("--deadline <time>", "limit for the whole run (default: none)")
    .option("--max-size <size>", "give up a body that is larger, such as 10M (default: no limit)")
    .addOption(new Option("--max-bytes <size>", "the same").hideHelp())
    .addOption(withDefault("--retries <n>", "how often to try again what may succeed later", DEFAULTS.retries))
    .addOption(
      withDefault(
        "--retry-delay <time>",
        "longest wait before the first retry; doubles each time",
        DEFAULTS.retryDelay,
      ),
    )
    .option("--retry-all", "try again whatever the method; otherwise not POST and PATCH")
    .optionsGroup("check:")
    .option("--follow-links", "check the links of HTML pages as well, on the sites that were given")
    .option("--depth <n>", "how many links away from what was given (default: any)")
    .option("--ignore-robots", "follow links that robots.txt does not want to be followed")
    .option("--cache <file>", "remember what was good, and do not ask again")
    .option("--cache-age <time>", "for how long (default: 1d)")
    .optionsGroup("api:")
    .option("--items <field>", "where the items of a page are (default: the answer itself)")
    .option("--pick <fields>", "print only these fields of each item: a.b,c")
    .option("--cursor <field>", "the field with the place of the next page (default: the Link header)")
    .option("--cursor-param <name>", "the parameter that takes it, when it is no URL (default: cursor)")
    .option("--max-pages <n>", "pages of a list, or pages to read for their links (default: 10000)")
    .optionsGroup("What is told:")
    .option("--summary <form>", "at the end: text, json or none (default: text)")
    .option("--fail-on <kinds>", "what makes the exit code 1: 4xx, 5xx, 404, network, input, … (default: any)")
    .option("--progress", "show progress even when the standard error is no terminal")
    .option("--no-progress", "never show progress")
    .option("--compare", "run the same list with curl --parallel as well, and print both times")
    .addOption(new Option("--mode <mode>", "get, check or api").hideHelp());
  return command;
}

/** Without the quotation marks that a default of text gets in the help. */
function withDefault(flags: string, description: string, value: string): Option {
  return new Option(flags, description).default(value, value);
}

function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}
