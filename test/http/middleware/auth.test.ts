import { createHash } from "node:crypto";
import { all, Cancelled, EventLoop, sleep, spawn, yieldNow } from "fibril";
import type { Coroutine } from "fibril";
import { Authentication, basicAuth, bearerAuth, digestAuth, HttpRequest, Session } from "fibril/http";
import type { HttpResponse, SessionOptions } from "fibril/http";
import { cancelSweep, simulate } from "fibril/testing";
import * as undici from "undici";
import { describe, expect, test } from "vitest";
import { mockTransport } from "../../../src/http/mock/index.ts";
import type { MockTransport } from "../../../src/http/mock/index.ts";
import { chooseChallenge, digestHeader, parseChallenges } from "../../../src/http/middleware/digest-auth-challenge.ts";
import { DigestScheme } from "../../../src/http/middleware/digest-auth.ts";
import { withSession } from "../harness.ts";
import { bodyOf, startHttpServer } from "../servers.ts";
import { failureOf, withMock } from "../mock/sessions.ts";
import { startWebSocketServer } from "../websocket/servers.ts";

function* textOf(session: Session, url: string): Coroutine<string> {
  return yield* (yield* session.get(url)).text();
}

const sent = (mock: MockTransport): (string | undefined)[] => mock.calls.map((call) => call.headers["authorization"]);

describe("credentials", () => {
  test("go with each request to the origin of baseUrl, never to another one", () =>
    withMock({ auth: basicAuth("ada", "pä:ss") }, function* (session, mock) {
      mock.on("GET", "https://api.test/away").redirect("https://other.test/back");
      mock.on("GET", "https://other.test/back").redirect("https://api.test/end");
      mock.on("*", "/*");
      for (const url of [
        "https://other.test/",
        "a",
        "away",
        "http://api.test/",
        "https://api.test:8443/",
        "https://sub.api.test/",
      ]) {
        yield* session.get(url);
      }
      const header = `Basic ${Buffer.from("ada:pä:ss").toString("base64")}`;
      const none = undefined;
      expect(sent(mock)).toEqual([none, header, header, none, header, none, none, none]);
    }));

  test("without baseUrl they are bound to the origin of the first request", async () => {
    const mock = mockTransport();
    mock.on("GET", "/*");
    await simulate(function* () {
      const session = yield* Session.open({ undici, transport: mock, auth: basicAuth("a", "b") });
      for (const host of ["one", "two", "one"]) yield* session.get(`https://${host}.test/`);
    });
    expect(sent(mock).map((it) => it !== undefined)).toEqual([true, false, true]);
  });

  test("origins can be named", () =>
    withMock(
      { auth: basicAuth("a", "b", { origin: ["https://one.test", "wss://two.test/x"] }) },
      function* (session, mock) {
        mock.on("GET", "/*");
        for (const url of ["a", "https://one.test/", "https://two.test/", "http://one.test/"]) yield* session.get(url);
        expect(sent(mock).map((it) => it !== undefined)).toEqual([false, true, true, false]);
      },
    ));

  test("a header or URL of the caller's own wins, and a request can go without", () =>
    withMock({ auth: basicAuth("a", "b") }, function* (session, mock) {
      mock.on("GET", "/*");
      yield* session.get("x", { headers: { authorization: "Own x" } });
      yield* session.get("https://me:pw@api.test/x");
      yield* session.get("x", { auth: false });
      yield* session.get("x", { auth: bearerAuth("t") });
      expect(sent(mock)).toEqual(["Own x", `Basic ${btoa("me:pw")}`, undefined, "Bearer t"]);
    }));

  test("in the list of middlewares they bind themselves", () =>
    withMock({ middleware: [basicAuth("a", "b").middleware] }, function* (session, mock) {
      mock.on("GET", "/*");
      for (const url of ["x", "https://other.test/", "y"]) yield* session.get(url);
      expect(sent(mock).map((it) => it !== undefined)).toEqual([true, false, true]);
    }));

  test("go with the handshake of a WebSocket at the same origin", async () => {
    await using server = await startWebSocketServer();
    const baseUrl = `${server.url.replace("ws", "http").replace("feed", "")}`;
    await withSession(undici, { baseUrl, auth: bearerAuth("t0") }, function* (session) {
      yield* (yield* session.webSocket("feed")).close();
    });
    await withSession(undici, { baseUrl: "http://other.test/", auth: bearerAuth("t0") }, function* (session) {
      yield* (yield* session.webSocket(server.url)).close();
    });
    expect(server.requests.map((request) => request.headers.authorization)).toEqual(["Bearer t0", undefined]);
    await server.untilOpen(0);
  });

  test("wrong arguments throw at once and do not show the secret", async () => {
    expect(() => basicAuth("a:b", "x")).toThrow(/colon/);
    expect(() => basicAuth("a", "secret\n")).toThrow(/^(?!.*secret)/);
    expect(() => digestAuth("a", 7 as never)).toThrow(/the password must be/);
    expect(() => bearerAuth("a secret")).toThrow(/^(?!.*secret)/);
    expect(() => bearerAuth(7 as never)).toThrow(/takes a token/);
    expect(() => basicAuth("a", "b", { origin: "api.test" })).toThrow(/must be an http URL/);
    expect(() => new Authentication({} as never)).toThrow(/send\(\)/);
    await expect(simulate(() => Session.open({ auth: { user: "a" } as never }))).rejects.toThrow(/must be made by/);
  });
});

describe("bearer", () => {
  /** Accepts the given token only. */
  function guarded(mock: MockTransport, isAccepted: (token: string | undefined) => boolean): void {
    mock.on("*", "/*").reply((call) => ({
      status: isAccepted(call.headers["authorization"]?.replace("Bearer ", "")) ? 200 : 401,
      delayMs: 10,
    }));
  }

  test("fetches the token once for many first requests, and once for many that get 401 together", () => {
    let fetched = 0;
    const auth = bearerAuth(function* () {
      yield* sleep(50);
      return `t${++fetched}`;
    });
    return withMock({ auth }, function* (session, mock) {
      let valid = "t1";
      guarded(mock, (token) => token === valid);
      const first = yield* all(Array.from({ length: 10 }, () => session.get("x")));
      expect(first.map((it) => it.status)).toEqual(new Array(10).fill(200));
      expect(fetched).toBe(1);
      valid = "t2";
      const second = yield* all(Array.from({ length: 10 }, () => session.get("x")));
      expect(second.map((it) => it.status)).toEqual(new Array(10).fill(200));
      expect(fetched).toBe(2);
      expect(mock.calls).toHaveLength(10 + 10 + 10);
    });
  });

  test("a request whose old token is refused late takes the one that is there", () => {
    let fetched = 0;
    const auth = bearerAuth(function* () {
      yield* sleep(1);
      return `t${++fetched}`;
    });
    return withMock({ auth }, function* (session, mock) {
      mock
        .on("GET", "/slow")
        .reply((call) => ({ status: call.headers["authorization"] === "Bearer t1" ? 401 : 200, delayMs: 500 }));
      mock
        .on("GET", "/fast")
        .reply((call) => ({ status: call.headers["authorization"] === "Bearer t1" ? 401 : 200, delayMs: 5 }));
      const slow = spawn(() => session.get("slow"));
      yield* sleep(100);
      expect((yield* session.get("fast")).status).toBe(200);
      expect((yield* slow).status).toBe(200);
      expect(fetched).toBe(2);
    });
  });

  test("a second 401 is the answer, and a fixed token is not fetched", () =>
    withMock({ auth: bearerAuth("fixed") }, function* (session, mock) {
      guarded(mock, () => false);
      expect((yield* session.get("x")).status).toBe(401);
      expect(mock.calls).toHaveLength(1);
      const refreshing = bearerAuth(function* () {
        yield* yieldNow();
        return "t";
      });
      expect((yield* session.get("x", { auth: refreshing })).status).toBe(401);
      expect(mock.calls).toHaveLength(3);
    }));

  test("a body that can be read once is not sent again", () => {
    let fetched = 0;
    const auth = bearerAuth(function* () {
      yield* yieldNow();
      return `t${++fetched}`;
    });
    return withMock({ auth }, function* (session, mock) {
      guarded(mock, (token) => token === "t2");
      const once = (function* () {
        yield "body";
      })();
      expect((yield* session.post("x", { body: once })).status).toBe(401);
      expect((yield* session.post("x", { body: "body" })).status).toBe(200);
      expect(mock.calls.map((call) => call.text)).toEqual(["body", "body", "body"]);
    });
  });

  test("a failed fetch is everybody's error, and the next request tries anew", () => {
    let fetched = 0;
    const auth = bearerAuth(function* () {
      yield* sleep(5);
      if (++fetched === 1) throw new Error("login is down");
      return "t";
    });
    return withMock({ auth }, function* (session, mock) {
      guarded(mock, (token) => token === "t");
      const tasks = [1, 2, 3].map(() => spawn(() => failureOf(session.get("x"))));
      for (const task of tasks) expect(String(yield* task)).toBe("Error: login is down");
      expect((yield* session.get("x")).status).toBe(200);
      expect(fetched).toBe(2);
    });
  });

  test("when the one that fetches is cancelled another one takes over", () => {
    let fetched = 0;
    const auth = bearerAuth(function* () {
      fetched++;
      yield* sleep(100);
      return "t";
    });
    return withMock({ auth }, function* (session, mock) {
      guarded(mock, (token) => token === "t");
      const [first, ...others] = [1, 2, 3].map(() => spawn(() => session.get("x")));
      yield* sleep(50);
      yield* first!.cancel();
      for (const task of others) expect((yield* task).status).toBe(200);
      expect(fetched).toBe(2);
    });
  });

  test("the fetch may spawn tasks that use the same session; nobody else goes without a token meanwhile", () =>
    withMock({}, function* (session, mock) {
      mock.on("GET", "/token").reply({ text: "t", delayMs: 10 });
      mock.on("*", "/*");
      const auth = bearerAuth(function* () {
        const [token] = yield* all([() => textOf(api, "token")]);
        return token!;
      });
      const api = session.with({ auth });
      // A child that was there before its parent fetched is none of those that were spawned for it.
      const child = spawn(function* () {
        yield* sleep(5);
        yield* api.get("child");
      });
      yield* api.get("parent");
      yield* child;
      expect(mock.calls.map(({ url, headers }) => [new URL(url).pathname, headers["authorization"]])).toEqual([
        ["/token", undefined],
        ["/parent", "Bearer t"],
        ["/child", "Bearer t"],
      ]);
    }));

  test("the fetch may use the same session", async () => {
    const mock = mockTransport();
    mock.on("POST", "/token").reply((call) => ({ json: { token: call.headers["authorization"] ?? "without" } }));
    mock.on("GET", "/x");
    await simulate(function* () {
      const session: Session = yield* Session.open({
        undici,
        baseUrl: "https://api.test/",
        transport: mock,
        auth: bearerAuth(function* () {
          return (yield* (yield* session.post("token")).json<{ token: string }>()).token;
        }),
      });
      yield* session.get("x");
    });
    expect(sent(mock)).toEqual([undefined, "Bearer without"]);
  });

  test("a token that is none, or a promise, is a clear error", () =>
    withMock({}, function* (session, mock) {
      mock.on("GET", "/*");
      const wrong = bearerAuth(function* () {
        yield* yieldNow();
        return "two words";
      });
      expect(String(yield* failureOf(session.get("x", { auth: wrong })))).toMatch(/a bearer token must be/);
      const promised = bearerAuth((() => Promise.resolve("t")) as never);
      expect(String(yield* failureOf(session.get("x", { auth: promised })))).toMatch(/coroutine function/);
    }));

  test("cancelling at any step leaves nothing that waits", () => {
    const program = () => {
      const mock = mockTransport();
      let valid = 1;
      mock
        .on("GET", "/*")
        .reply((call) => ({ status: call.headers["authorization"] === `Bearer t${valid}` ? 200 : 401, delayMs: 3 }));
      let fetched = 0;
      const auth = bearerAuth(function* () {
        yield* sleep(7);
        return `t${++fetched}`;
      }).middleware;
      const ask = (): Coroutine<HttpResponse> =>
        auth(HttpRequest.of("GET", "http://h.test/"), mock) as Coroutine<HttpResponse>;
      return {
        main: function* (): Coroutine<void> {
          yield* all([ask(), ask(), ask()]);
          valid = 2;
          yield* all([ask(), ask()]);
        },
      };
    };
    expect(cancelSweep(program).cancelled).toBeGreaterThan(10);
    cancelSweep(program, { target: "stepped", seed: 3 });
  });
});

describe("the arithmetic of digest", () => {
  const mufasa = {
    user: "Mufasa",
    password: "Circle of Life",
    method: "GET",
    uri: "/dir/index.html",
    body: "",
    count: 1,
  };
  const cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
  const rfc7616 = ["SHA-256", "MD5"].map(
    (algorithm) =>
      `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=${algorithm}, ` +
      'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
  );
  const fieldOf = (header: string, name: string): string | undefined =>
    new RegExp(`(?:^|[ ,])${name}="?([^",]*)`).exec(header)?.[1];

  test("RFC 7616, 3.9.1: MD5 and SHA-256", () => {
    const header = (challenge: string): string =>
      digestHeader(chooseChallenge(parseChallenges([challenge]), true)!, { ...mufasa, cnonce });
    const [sha256, md5] = rfc7616.map(header);
    expect(fieldOf(sha256!, "response")).toBe("753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
    expect(fieldOf(md5!, "response")).toBe("8ca523f5e9506fed4657c9700eebdbec");
    expect(md5).toBe(
      'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5, ' +
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, ' +
        'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, ' +
        'response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
    );
  });

  test("RFC 2617, 3.5, and RFC 2069, without qop", () => {
    const nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
    const challenge = `Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="${nonce}", opaque="5ccc069c403ebaf9f0171e9517f40e41"`;
    const request = { ...mufasa, password: "Circle Of Life", cnonce: "0a4f113b" };
    const header = digestHeader(chooseChallenge(parseChallenges([challenge]), true)!, request);
    expect(fieldOf(header, "response")).toBe("6629fae49393a05397450978507c4ef1");
    const old = chooseChallenge(parseChallenges([`Digest realm="testrealm@host.com", nonce="${nonce}"`]), true)!;
    const oldHeader = digestHeader(old, request);
    expect(fieldOf(oldHeader, "response")).toBe("670fd8c2df070c60b045671b8b24ff02");
    expect(oldHeader).not.toMatch(/nc=|cnonce=|qop=/);
  });

  test("RFC 7616, 3.9.2: SHA-512-256, user hash and UTF-8", () => {
    // The numbers of the RFC were made with SHA-512 cut off (erratum 4897); these are those of SHA-512/256.
    const challenge =
      'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", ' +
      'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true';
    const header = digestHeader(chooseChallenge(parseChallenges([challenge]), true)!, {
      user: "Jäsøn Doe",
      password: "Secret, or not?",
      method: "GET",
      uri: "/doe.json",
      body: "",
      cnonce: "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm",
      count: 1,
    });
    const H = (text: string): string => createHash("sha512-256").update(text).digest("hex");
    expect(fieldOf(header, "username")).toBe(H("Jäsøn Doe:api@example.org"));
    const ha1 = H("Jäsøn Doe:api@example.org:Secret, or not?");
    const nonces = "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK:00000001:NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm";
    expect(fieldOf(header, "response")).toBe(H(`${ha1}:${nonces}:auth:${H("GET:/doe.json")}`));
    expect(header).toContain("userhash=true");
  });

  test("sessions and bodies", () => {
    const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
    const challenge = chooseChallenge(
      parseChallenges(['Digest realm="r", nonce="n", algorithm=MD5-sess, qop="auth-int"']),
      true,
    )!;
    const header = digestHeader(challenge, { ...mufasa, body: "entity", cnonce: "c", count: 0x2a });
    const ha1 = md5(`${md5("Mufasa:r:Circle of Life")}:n:c`);
    expect(fieldOf(header, "response")).toBe(
      md5(`${ha1}:n:0000002a:c:auth-int:${md5(`GET:/dir/index.html:${md5("entity")}`)}`),
    );
  });

  test("a user name that is not ASCII goes by RFC 8187, quotes are escaped", () => {
    const challenge = chooseChallenge(parseChallenges(['Digest realm="a \\"b\\"", nonce="n", qop=auth']), true)!;
    const header = digestHeader(challenge, { ...mufasa, user: "Jäsøn", cnonce: "c" });
    expect(header).toContain("username*=UTF-8''J%C3%A4s%C3%B8n");
    expect(header).toContain('realm="a \\"b\\""');
  });

  test("the strongest challenge that can be answered is chosen", () => {
    const choose = (headers: readonly string[], hasBody = true): string | undefined =>
      chooseChallenge(parseChallenges(headers), hasBody)?.hash;
    const digest = (rest: string): string => `Digest realm="r", nonce="n", ${rest}`;
    expect(choose([`Basic realm="x", ${digest("algorithm=MD5")}, ${digest("algorithm=sha-256")}`, "Negotiate"])).toBe(
      "sha256",
    );
    expect(choose([digest("algorithm=SHA-512-256-sess"), digest("algorithm=SHA-256")])).toBe("sha512-256");
    expect(choose([digest("algorithm=TIGER")])).toBeUndefined();
    expect(choose([digest('qop="auth-int"')], false)).toBeUndefined();
    expect(choose([digest('qop="auth-conf"')])).toBeUndefined();
    expect(choose(['Digest realm="r"', "Basic", 'Bearer realm="Digest realm=x, nonce=y"'])).toBeUndefined();
  });
});

describe("digest", () => {
  interface Server {
    nonce: string;
    readonly counts: string[];
    nextnonce: string;
    qop: string;
    algorithm: string;
  }

  /** A server that checks what it gets, with a nonce that the test may change. */
  function digestServer(mock: MockTransport): Server {
    const server: Server = { nonce: "n1", counts: [], nextnonce: "", qop: "auth", algorithm: "SHA-256" };
    mock.on("*", "/*").reply((call) => {
      const challenge = `Digest realm="r", nonce="${server.nonce}", qop="${server.qop}", algorithm=${server.algorithm}, opaque="o"`;
      const given = call.headers["authorization"];
      const field = (name: string): string => new RegExp(`(?:^|[ ,])${name}="?([^",]*)`).exec(given ?? "")?.[1] ?? "";
      if (given === undefined) return { status: 401, headers: { "www-authenticate": challenge } };
      if (field("nonce") !== server.nonce)
        return { status: 401, headers: { "www-authenticate": `${challenge}, stale=true` } };
      const url = new URL(call.url);
      const expected = digestHeader(chooseChallenge(parseChallenges([challenge]), true)!, {
        user: "ada",
        password: "right",
        method: call.method,
        uri: url.pathname + url.search,
        body: call.body,
        cnonce: field("cnonce"),
        count: Number.parseInt(field("nc"), 16),
      });
      if (given !== expected || server.counts.includes(`${server.nonce} ${field("nc")}`)) {
        return { status: 401, headers: { "www-authenticate": challenge } };
      }
      server.counts.push(`${server.nonce} ${field("nc")}`);
      const info = server.nextnonce;
      if (info !== "") server.nonce = info;
      return {
        text: "welcome",
        delayMs: 5,
        ...(info === "" ? {} : { headers: { "authentication-info": `qop=auth, nextnonce="${info}"` } }),
      };
    });
    return server;
  }
  const options: SessionOptions = { auth: digestAuth("ada", "right") };

  test("asks once, then proves with a number that grows", () =>
    withMock({ auth: digestAuth("ada", "right") }, function* (session, mock) {
      const server = digestServer(mock);
      for (const path of ["a?x=1", "b", "c"]) expect((yield* session.get(path)).status).toBe(200);
      expect((yield* session.post("d", { json: { a: 1 } })).status).toBe(200);
      expect(mock.calls).toHaveLength(5);
      expect(server.counts).toEqual(["n1 00000001", "n1 00000002", "n1 00000003", "n1 00000004"]);
    }));

  test("requests at once share the nonce, each with a number of its own", () =>
    withMock({ auth: digestAuth("ada", "right") }, function* (session, mock) {
      const server = digestServer(mock);
      const responses = yield* all(Array.from({ length: 8 }, (_, i) => session.get(`${i}`)));
      expect(responses.map((it) => it.status)).toEqual(new Array(8).fill(200));
      expect(new Set(server.counts).size).toBe(8);
    }));

  test("a stale nonce is exchanged, a next one is taken at once", () =>
    withMock(options, function* (session, mock) {
      const server = digestServer(mock);
      yield* session.get("a");
      server.nonce = "n2";
      expect((yield* session.get("b")).status).toBe(200);
      expect(mock.calls).toHaveLength(4);
      server.nextnonce = "n3";
      yield* session.get("c");
      server.nextnonce = "";
      expect((yield* session.get("d")).status).toBe(200);
      expect(mock.calls).toHaveLength(6);
      expect(server.counts.at(-1)).toBe("n3 00000001");
    }));

  test("a wrong password is the 401, after one try", () =>
    withMock({ auth: digestAuth("ada", "wrong") }, function* (session, mock) {
      digestServer(mock);
      expect((yield* session.get("a")).status).toBe(401);
      expect(mock.calls).toHaveLength(2);
      expect((yield* session.get("a")).status).toBe(401);
    }));

  test("a server that only ever says stale is given up", () =>
    withMock({ auth: digestAuth("ada", "right") }, function* (session, mock) {
      let nonce = 0;
      mock.on("GET", "/*").reply(() => ({
        status: 401,
        headers: { "www-authenticate": `Digest realm="r", nonce="${++nonce}", qop=auth, stale=true` },
      }));
      expect((yield* session.get("a")).status).toBe(401);
      expect(mock.calls).toHaveLength(3);
    }));

  test("the body is proven when the server wants it", () =>
    withMock({ auth: digestAuth("ada", "right") }, function* (session, mock) {
      const server = digestServer(mock);
      server.qop = "auth-int";
      server.algorithm = "MD5-sess";
      expect((yield* session.post("a", { body: "entity" })).status).toBe(200);
      expect((yield* session.post("a", { body: new Uint8Array([1, 2]) })).status).toBe(200);
      expect((yield* session.get("a")).status).toBe(200);
    }));

  test("another scheme, or none, is left to the caller", () =>
    withMock({ auth: digestAuth("ada", "right") }, function* (session, mock) {
      mock.on("GET", "/basic").reply({ status: 401, headers: { "www-authenticate": 'Basic realm="x"' } });
      mock.on("GET", "/none").reply({ status: 401 });
      for (const path of ["basic", "none"]) expect((yield* session.get(path)).status).toBe(401);
      expect(mock.calls).toHaveLength(2);
    }));

  test("on the network, with keep-alive, where the 401 has a body", async () => {
    await using server = await startHttpServer((request, response) => {
      void bodyOf(request).then(() => {
        const isProven = request.headers.authorization?.startsWith('Digest username="ada"') === true;
        response.writeHead(isProven ? 200 : 401, { "www-authenticate": 'Digest realm="r", nonce="n", qop="auth"' });
        response.end(isProven ? "in" : "x".repeat(10_000));
      });
    });
    await withSession(undici, { auth: digestAuth("ada", "b"), baseUrl: `${server.origin}/` }, function* (session) {
      expect(yield* (yield* session.post("x", { body: "again" })).text()).toBe("in");
      expect(server.accepted).toBe(1);
    });
  });

  test("the client's nonce comes from the loop, so a simulation repeats it", async () => {
    const header = (seed: number): Promise<string> =>
      simulate(
        function* () {
          const mock = mockTransport();
          digestServer(mock);
          const scheme = new DigestScheme("ada", "right");
          expect(EventLoop.current().name).toBe("simulation");
          yield* scheme.send(HttpRequest.of("GET", "http://h.test/"), mock);
          return mock.calls[1]!.headers["authorization"]!;
        },
        { seed },
      );
    expect(await header(1)).toBe(await header(1));
    expect(await header(1)).not.toBe(await header(2));
  });

  test("cancelling at any step leaves nothing", () => {
    const sweep = cancelSweep(() => {
      const mock = mockTransport();
      digestServer(mock);
      const auth = digestAuth("ada", "right").middleware;
      return {
        main: function* (): Coroutine<void> {
          try {
            for (let i = 0; i < 2; i++) yield* auth(HttpRequest.of("GET", "http://h.test/"), mock);
          } catch (error) {
            expect(error).toBeInstanceOf(Cancelled);
            throw error;
          }
        },
      };
    });
    expect(sweep.cancelled).toBeGreaterThan(1);
  });
});
