import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InvalidUrlError } from "../../src/http/errors.ts";
import { isRedirect, parseBaseUrl, redirectMethod, redirectTarget, resolveTarget } from "../../src/http/target.ts";

describe("where a request goes", () => {
  test("a relative URL is resolved against the base", () => {
    const base = parseBaseUrl("https://example.org/v1/");
    expect(resolveTarget("GET", "users?page=2", base, undefined)).toMatchObject({
      url: "https://example.org/v1/users?page=2",
      origin: "https://example.org",
      path: "/v1/users?page=2",
    });
    expect(resolveTarget("GET", "/users", base, undefined).path).toBe("/users");
    expect(resolveTarget("GET", "http://other.test:81/x", base, undefined).origin).toBe("http://other.test:81");
  });

  test("a base without a slash at its end is refused, since its last part would be lost", () => {
    expect(() => parseBaseUrl("https://example.org/v1")).toThrow(InvalidUrlError);
    expect(parseBaseUrl("https://example.org")).toMatchObject({ origin: "https://example.org", path: "/" });
  });

  test("a query is appended and escaped; null and undefined are left out", () => {
    const query = { q: "a b&c", list: [1, 2], yes: true, no: null, none: undefined };
    expect(resolveTarget("GET", "http://h/p?x=1", undefined, query).path).toBe(
      "/p?x=1&q=a+b%26c&list=1&list=2&yes=true",
    );
    expect(resolveTarget("GET", "http://h/", undefined, new URLSearchParams("a=1&a=2")).path).toBe("/?a=1&a=2");
    expect(resolveTarget("GET", "http://h/", undefined, [["a", 1]]).path).toBe("/?a=1");
  });

  test("credentials become a header and disappear from the URL; the fragment is not sent", () => {
    expect(resolveTarget("GET", "http://us%20er:p%C3%A4ss@h/p#part", undefined, undefined)).toEqual({
      url: "http://h/p",
      origin: "http://h",
      path: "/p",
      authorization: `Basic ${Buffer.from("us er:päss").toString("base64")}`,
    });
    expect(resolveTarget("GET", "http://h/p#", undefined, undefined).path).toBe("/p");
  });

  test("law: the short cut for plain URLs to known hosts gives what parsing gives", () => {
    const piece = fc.constantFrom(
      ..."/ . .. %2e %2E . / ? # : @ a B 9 - _ ~ ! $ & ' ( ) * + , ; = % \" < > ` { } | ^ [ ] \\ é \t //".split(" "),
      " ",
      "",
    );
    const rest = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(""));
    const start = fc.constantFrom(
      "http://h",
      "http://h/",
      "https://h:8443/",
      "http://H/",
      "http://u@h/",
      "http:/",
      "//h/",
      "/",
      "",
    );
    const base = fc.constantFrom(undefined, parseBaseUrl("http://h/v1/"), parseBaseUrl("https://h:8443/?q#f"));
    const known = new Set(["http://h", "https://h:8443"]);
    let shortCuts = 0;
    const canonical = (origin: string): string | undefined => {
      if (!known.has(origin)) return undefined;
      shortCuts++;
      return origin;
    };
    const attempt = (action: () => unknown): unknown => {
      try {
        return action();
      } catch (error) {
        return (error as Error).message;
      }
    };
    fc.assert(
      fc.property(start, rest, base, (first, second, against) => {
        const url = first + second;
        const short = attempt(() => resolveTarget("GET", url, against, undefined, canonical));
        expect(short).toEqual(attempt(() => resolveTarget("GET", url, against, undefined)));
      }),
      { numRuns: 5_000 },
    );
    expect(shortCuts).toBeGreaterThan(1_000);
  });

  test.each([
    ["nonsense", /not an absolute URL/],
    ["/relative", /baseUrl/],
    ["ftp://host/file", /only http: and https:/],
    ["http://", /not an absolute URL/],
    ["http://u:%zz@host/", /percent-encoded/],
  ])("%s is refused", (url, message) => {
    expect(() => resolveTarget("GET", url, undefined, undefined)).toThrow(message);
    expect(() => resolveTarget("GET", url, undefined, undefined)).toThrow(InvalidUrlError);
  });

  test("a refused URL does not show its password", () => {
    expect(() => resolveTarget("GET", "ftp://user:secret@host/", undefined, undefined)).toThrow(/\*\*\*@host/);
    expect(() => resolveTarget("GET", "http://user:secret@ho st/", undefined, undefined)).not.toThrow(/secret/);
  });

  test("names and paths in other scripts are encoded", () => {
    const target = resolveTarget("GET", "http://bücher.example/straße?ä=ö", undefined, undefined);
    expect(target.origin).toBe("http://xn--bcher-kva.example");
    expect(target.path).toBe("/stra%C3%9Fe?%C3%A4=%C3%B6");
  });
});

describe("redirect rules", () => {
  test("only 301, 302, 303, 307 and 308 are redirects", () => {
    const all = Array.from({ length: 100 }, (_, i) => 300 + i).filter(isRedirect);
    expect(all).toEqual([301, 302, 303, 307, 308]);
  });

  test.each([
    ["GET", 301, "GET"],
    ["POST", 301, "GET"],
    ["POST", 302, "GET"],
    ["PUT", 301, "PUT"],
    ["DELETE", 302, "DELETE"],
    ["PUT", 303, "GET"],
    ["HEAD", 303, "HEAD"],
    ["POST", 307, "POST"],
    ["PUT", 308, "PUT"],
  ])("%s with %i goes on as %s", (method, status, next) => {
    expect(redirectMethod(method, status)).toBe(next);
  });

  test("a Location is relative to the URL that sent it; UTF-8 in it is understood; its credentials are not used", () => {
    const from = resolveTarget("GET", "http://h/a/b?c", undefined, undefined);
    expect(redirectTarget("GET", from.url, "../d").url).toBe("http://h/d");
    expect(redirectTarget("GET", from.url, "//other/e").url).toBe("http://other/e");
    expect(redirectTarget("GET", from.url, Buffer.from("/é").toString("latin1")).url).toBe("http://h/%C3%A9");
    expect(redirectTarget("GET", from.url, "http://user:pw@other/")).toMatchObject({
      url: "http://other/",
      authorization: undefined,
    });
    expect(() => redirectTarget("GET", from.url, "javascript:alert(1)")).toThrow(InvalidUrlError);
  });
});
