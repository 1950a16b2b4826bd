import { describe, expect, test } from "vitest";
import { headline, htmlPage } from "../../src/compare/show/page.ts";
import type { Row } from "../../src/compare/report.ts";
import { SAMPLE } from "./sample-report.ts";

describe("the page", () => {
  test("needs nothing from outside and runs nothing", () => {
    expect(htmlPage(SAMPLE)).not.toMatch(/<script|<link|<img|<iframe|\bsrc=|url\(|@import|https?:/);
  });

  test("has a bar for every request", () => {
    const requests = SAMPLE.rows.reduce((sum, row) => sum + row.requests.length, 0);
    expect(htmlPage(SAMPLE).match(/class="lane"/g)).toHaveLength(requests);
  });

  test("has the figures, the explanations and the warnings of the terminal", () => {
    const page = htmlPage(SAMPLE);
    for (const text of [
      "1,313 MB",
      "97 ×",
      "about 12\u00A0MB for each thread",
      "so did &quot;get 2&quot;",
      "<code>blocking.ts:30:24</code>",
    ]) {
      expect(page).toContain(text);
    }
  });

  test("takes text from programs as text", () => {
    const failed: Row = {
      key: "b",
      name: "session",
      title: "<b>",
      outcome: "failed",
      error: '<script>alert("x")</script>',
      requests: [],
      warnings: [],
    };
    const page = htmlPage({ ...SAMPLE, rows: [failed] });
    expect(page).not.toContain("<script>");
    expect(page).toContain("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;");
  });

  test("is headed by the finding, and without (a) or (b) by the question", () => {
    expect(headline(SAMPLE)).toBe("4 requests: 4.02 s when each blocks, 1.01 s when they wait together");
    expect(headline({ ...SAMPLE, rows: SAMPLE.rows.slice(1) })).toBe("Requests that take 1,000 ms each");
  });
});
