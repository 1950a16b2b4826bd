/**
 * The links of an HTML page: what its elements point at, as absolute http URLs without fragment.
 *
 * The parser tells of tags as it reads: no tree is needed to know what `href` and `src` say, and broken markup is the rule where links
 * are checked.
 */
import { Parser } from "htmlparser2";
import { withoutFragment } from "./without-fragment.ts";

/** Attributes that have a URL, by element; `*` for all others. */
const ATTRIBUTES: Readonly<Record<string, readonly string[]>> = {
  base: [],
  form: [],
  object: ["data"],
  video: ["src", "poster"],
  "*": ["href", "src"],
};
const WITH_SETS: ReadonlySet<string> = new Set(["img", "source"]);
/** Hints about hosts, not links to something. */
const HINTS = /^(?:dns-prefetch|preconnect)$/i;

/** @param pageUrl Where the page came from. */
export function linksOf(html: string, pageUrl: string): string[] {
  let base = pageUrl;
  const links = new Set<string>();
  const parser = new Parser({
    onopentag(name, attributes) {
      if (name === "base") base = resolve(attributes["href"], pageUrl) ?? base;
      if (name === "link" && HINTS.test(attributes["rel"] ?? "")) return;
      const values = (ATTRIBUTES[name] ?? ATTRIBUTES["*"]!).map((attribute) => attributes[attribute]);
      if (WITH_SETS.has(name)) values.push(...candidatesOf(attributes["srcset"]));
      for (const value of values) {
        const link = resolve(value, base);
        if (link !== undefined) links.add(link);
      }
    },
  });
  parser.end(html);
  return [...links];
}

function resolve(value: string | undefined, base: string): string | undefined {
  const text = value?.trim() ?? "";
  if (text === "" || text.startsWith("#") || !URL.canParse(text, base)) return undefined;
  const url = new URL(text, base);
  return url.protocol === "http:" || url.protocol === "https:" ? withoutFragment(url.href) : undefined;
}

/** `a.png 1x, b.png 2x` */
function candidatesOf(srcset: string | undefined): string[] {
  return (srcset ?? "").split(/,\s+|,$/).map((candidate) => candidate.trim().split(/\s/)[0]!);
}
