/**
 * The links of an HTML page: what its elements point at, as absolute http URLs without fragment.
 *
 * A scanner of tags, not a parser of documents: no tree is needed to know what `href` and `src` say, and broken markup is the rule where
 * links are checked. It reads each character once, whatever a hostile page has in it. Comments, scripts and styles are passed over.
 */
const OPAQUE: ReadonlySet<string> = new Set(["script", "style", "textarea", "title", "xmp", "noembed", "noframes"]);

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
  for (const { name, attributes } of tagsOf(html)) {
    if (name === "base") base = resolve(attributes.get("href"), pageUrl) ?? base;
    if (name === "link" && HINTS.test(attributes.get("rel") ?? "")) continue;
    const values = (ATTRIBUTES[name] ?? ATTRIBUTES["*"]!).map((attribute) => attributes.get(attribute));
    if (WITH_SETS.has(name)) values.push(...candidatesOf(attributes.get("srcset")));
    for (const value of values) {
      const link = resolve(value, base);
      if (link !== undefined) links.add(link);
    }
  }
  return [...links];
}

/** The address without its fragment; `undefined` when it is no http URL. */
export function withoutFragment(url: string): string {
  const mark = url.indexOf("#");
  return mark === -1 ? url : url.slice(0, mark);
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

interface Tag {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
}

function* tagsOf(html: string): Generator<Tag, void> {
  let at = 0;
  while (true) {
    const start = html.indexOf("<", at);
    if (start === -1) return;
    if (html.startsWith("<!--", start)) {
      const end = html.indexOf("-->", start + 4);
      if (end === -1) return;
      at = end + 3;
      continue;
    }
    if (!/[a-z]/i.test(html[start + 1] ?? "")) {
      at = start + 1;
      continue;
    }
    const tag = readTag(html, start + 1);
    yield tag;
    at = tag.end;
    if (OPAQUE.has(tag.name)) at = endOf(html, tag.name, at);
  }
}

function endOf(html: string, name: string, from: number): number {
  const pattern = new RegExp(`</${name}(?=[\\s/>])`, "gi");
  pattern.lastIndex = from;
  return pattern.exec(html)?.index ?? html.length;
}

const NAME = /[^\s/>]*/y;
const SPACE = /[\s/]*/y;
const ATTRIBUTE = /[^\s/>=]+|=/y;
const EQUALS = /\s*=\s*/y;
const BARE = /[^\s>]*/y;

function readTag(html: string, from: number): Tag & { readonly end: number } {
  let at = from;
  const take = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const text = pattern.exec(html)?.[0] ?? "";
    at += text.length;
    return text;
  };
  const name = take(NAME).toLowerCase();
  const attributes = new Map<string, string>();
  while (true) {
    take(SPACE);
    if (at >= html.length || html[at] === ">") return { name, attributes, end: at + 1 };
    const attribute = take(ATTRIBUTE).toLowerCase();
    let value = "";
    if (take(EQUALS) !== "") {
      const quote = html[at];
      if (quote === '"' || quote === "'") {
        const end = html.indexOf(quote, at + 1);
        value = html.slice(at + 1, end === -1 ? html.length : end);
        at = end === -1 ? html.length : end + 1;
      } else value = take(BARE);
    }
    if (!attributes.has(attribute)) attributes.set(attribute, decoded(value));
  }
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00A0" };

function decoded(value: string): string {
  if (!value.includes("&")) return value;
  return value.replace(
    /&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|([a-z]+));/gi,
    (whole, hex?: string, decimal?: string, name?: string) => {
      if (name !== undefined) return ENTITIES[name.toLowerCase()] ?? whole;
      const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
      return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}
