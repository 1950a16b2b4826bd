/**
 * From a URL to the place of its body in the folder: `https://example.org/a/list.json?page=2` goes to
 * `example.org/a/list@page=2.json`.
 *
 * Whatever the URL says, the place is inside the folder: every part is one harmless file name on any system. Names are a
 * function of the URL alone; two URLs may still meet in one name, which the `NameLedger` settles.
 */
import { createHash } from "node:crypto";

/** File systems end at 255 bytes for a name; this leaves room for `~12345` and `.part`. */
const LONGEST_NAME_BYTES = 200;
/** Far below the 4,096 bytes of a whole path, since the folder comes on top. */
const LONGEST_PATH_BYTES = 1_000;
const HASH_LENGTH = 16;
const INDEX = "index.html";

/** The parts of the path for a URL, host first. */
export function pathOfUrl(url: URL): string[] {
  const host = url.hostname.replace(/^\[|\]$/g, "") + (url.port === "" ? "" : `+${url.port}`);
  const raw = url.pathname.split("/").slice(1);
  const last = raw.pop() ?? "";
  const folders = raw.filter((part) => part !== "").map((part) => nameOf(part, ""));
  const file = nameOf(last === "" ? INDEX : last, url.search.slice(1));
  const path = [nameOf(host, ""), ...folders, file];
  if (!isLonger(path.join("/"), LONGEST_PATH_BYTES)) return path;
  return [path[0]!, insertMark(file, `~${hashOf(url.pathname + url.search)}`)];
}

/** The last part of `pathOfUrl`, without the query. */
export function fileNameOfUrl(url: URL): string {
  const last = url.pathname.split("/").at(-1)!;
  return nameOf(last === "" ? INDEX : last, "");
}

/** The query as one file name; empty when there is none. */
export function queryName(url: URL): string {
  return url.search.length < 2 ? "" : nameOf(url.search.slice(1), "");
}

/** Any text as one file name. */
export function cleanName(text: string): string {
  const name = clean(text);
  if (!isLonger(name, LONGEST_NAME_BYTES)) return name;
  const ending = endingOf(name);
  const mark = `~${hashOf(text)}`;
  const stem = name.slice(0, name.length - ending.length);
  return cutToBytes(stem, LONGEST_NAME_BYTES - mark.length - ending.length) + mark + ending;
}

/** The parts of a path that somebody has asked for, or why it cannot be had. */
export function pathOfOutput(output: string): readonly string[] | { readonly problem: string } {
  const parts = output.split(/[/\\]/).filter((part) => part !== "" && part !== ".");
  if (/^[/\\]|^[a-z]:/i.test(output) || parts.includes("..")) return { problem: "leaves the folder" };
  if (parts.length === 0 || /[/\\]$/.test(output)) return { problem: "names no file" };
  if (parts.some((part) => clean(part) !== part)) return { problem: "has a character that file names cannot have" };
  if (parts.some((part) => Buffer.byteLength(part) > LONGEST_NAME_BYTES)) return { problem: "is too long" };
  return Buffer.byteLength(output) > LONGEST_PATH_BYTES ? { problem: "is too long" } : parts;
}

/** Puts a mark before the ending: `a.tar.gz`, `~2` → `a~2.tar.gz`. */
export function insertMark(name: string, mark: string): string {
  const ending = endingOf(name);
  return name.slice(0, name.length - ending.length) + mark + ending;
}

function nameOf(encoded: string, query: string): string {
  const plain = clean(decoded(encoded));
  const name = query === "" ? plain : insertMark(plain, clean(`@${decoded(query)}`));
  if (!isLonger(name, LONGEST_NAME_BYTES)) return name;
  const ending = endingOf(name);
  const mark = `~${hashOf(`${encoded}?${query}`)}`;
  return (
    cutToBytes(name.slice(0, name.length - ending.length), LONGEST_NAME_BYTES - mark.length - ending.length) +
    mark +
    ending
  );
}

const MOST_BYTES_OF_UNIT = 3;

/** Most names are so short that nobody has to count their bytes. */
function isLonger(text: string, bytes: number): boolean {
  return text.length * MOST_BYTES_OF_UNIT > bytes && Buffer.byteLength(text) > bytes;
}

function decoded(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not UTF-8: the encoded form is a good name as well
  }
}

// What Windows and shells do not bear, separators first of all, and what cannot be seen.
const FORBIDDEN = /[/\\<>:"|?*\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const RESERVED = /^(?:con|prn|aux|nul|com\d|lpt\d)(?=\.|$)/i;

/** What nearly all names are made of, and `clean` leaves as it is. */
const HARMLESS = /^[\w~+-](?:[\w~+.@=,-]*[\w~+-])?$/;

function isHarmless(text: string): boolean {
  return HARMLESS.test(text) && !RESERVED.test(text);
}

/** Whether the last part of a URL's path is its file name as it stands: the URL parser leaves it alone, and so do the rules for names. */
export function isPlainName(part: string): boolean {
  return part.length <= LONGEST_NAME_BYTES && isHarmless(part);
}

/** The text as one file name that means nothing special anywhere: no separator, neither `.` nor `..`. */
function clean(text: string): string {
  if (isHarmless(text)) return text;
  const name = text
    .replace(FORBIDDEN, "_")
    .replace(/[. ]+$/, (end) => "_".repeat(end.length))
    .replace(/^ +/, (start) => "_".repeat(start.length))
    .replace(RESERVED, "_$&");
  return name === "" ? "_" : name;
}

/** `.json`, `.tar.gz`; nothing for `.profile`. */
function endingOf(name: string): string {
  return /(?<=.)(?:\.tar)?\.[a-z0-9]{1,8}$/i.exec(name)?.[0] ?? "";
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, HASH_LENGTH);
}

function cutToBytes(text: string, bytes: number): string {
  let size = 0;
  let cut = "";
  for (const character of text) {
    size += Buffer.byteLength(character);
    if (size > bytes) break;
    cut += character;
  }
  return cut;
}
