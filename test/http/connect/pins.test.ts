import { spawn, UsageError } from "fibril";
import type { Coroutine } from "fibril";
import { CertificatePinError, Session } from "fibril/http";
import { createHash, X509Certificate } from "node:crypto";
import { createServer } from "node:https";
import { describe, expect, test } from "vitest";
import { certificate, privateKey } from "../certificate.ts";
import { atRest, failureOf, NOTHING, withSession } from "../harness.ts";
import { listening } from "../servers.ts";
import type { TestServer } from "../servers.ts";
import { undiciVersions } from "../undici-versions.ts";
import { parsePins } from "../../../src/http/connect/pins.ts";
import { chained } from "./certificates.ts";

const x509 = new X509Certificate(certificate);
const keyPin = pinOf(x509.publicKey.export({ type: "spki", format: "der" }));
const certificatePin = pinOf(x509.raw);
const otherPin = pinOf(Buffer.from("another one"));

describe.each(undiciVersions)("certificate pins on %s", (_, undici) => {
  test("a certificate is accepted by the hash of its key or of itself, on every connection", async () => {
    await using server = await startTlsServer();
    const url = `https://localhost:${server.port}/`;
    for (const pin of [[keyPin], [otherPin, certificatePin], { localhost: [keyPin], "example.org": [otherPin] }]) {
      await withSession(undici, { pin, tls: { ca: certificate }, keepAliveMs: 0 }, function* (session) {
        for (let i = 0; i < 3; i++) expect(yield* fetchText(session, url)).toBe("pinned");
      });
    }
    await withSession(undici, { pin: { "example.org": [otherPin] }, tls: { ca: certificate } }, function* (session) {
      expect(yield* fetchText(session, url)).toBe("pinned");
    });
  });

  test("a host is meant however its name is written", async () => {
    await using server = await startTlsServer();
    const options = { tls: { ca: certificate, checkServerIdentity: () => undefined } };
    const writings = [
      ["LOCALHOST", "localhost"],
      ["localhost.", "localhost"],
      ["localhost", "localhost."],
      ["127.1", "127.0.0.1"],
      ["bücher.test", "xn--bcher-kva.test"],
      ["[0::1]", "[::1]"],
      ["::1", "[::1]"],
    ] as const;
    for (const [name, host] of writings) {
      const dns = { lookup: () => Promise.resolve([{ address: "127.0.0.1", family: 4 as const }]) };
      if (host === "[::1]") {
        expect(parsePins({ [name]: [otherPin] }).of("::1")).toEqual([otherPin]);
        continue;
      }
      await withSession(undici, { pin: { [name]: [otherPin] }, dns, ...options }, function* (session) {
        const error = yield* failureOf(session.get(`https://${host}:${server.port}/`));
        expect(error, name).toBeInstanceOf(CertificatePinError);
      });
    }
    for (const name of ["https://localhost", "localhost:443", "localhost/", "a b", "", "u@localhost"]) {
      expect(() => parsePins({ [name]: [otherPin] }), name).toThrow(UsageError);
    }
  });

  test("another certificate is a CertificatePinError that names host, expected and got; nothing was sent", async () => {
    await using server = await startTlsServer();
    await withSession(undici, { pin: [otherPin], tls: { ca: certificate } }, function* (session) {
      const error = (yield* failureOf(session.get(`https://localhost:${server.port}/`))) as CertificatePinError;
      expect(error).toBeInstanceOf(CertificatePinError);
      expect(error).toMatchObject({
        code: "HTTP_CERTIFICATE_PIN",
        hostname: "localhost",
        expected: [otherPin],
        got: [keyPin, certificatePin],
      });
      expect(error.message).toContain(otherPin);
      expect(error.message).toContain(keyPin);
      expect(atRest(session)).toEqual(NOTHING);
    });
    expect(requests).toBe(0);
    await server.untilOpen(0);
  });

  test("a pin does not make up for a certificate that is not trusted, unless trust is not asked for", async () => {
    await using server = await startTlsServer();
    const url = `https://localhost:${server.port}/`;
    await withSession(undici, { pin: [keyPin] }, function* (session) {
      expect(yield* failureOf(session.get(url))).toMatchObject({ systemCode: "DEPTH_ZERO_SELF_SIGNED_CERT" });
    });
    await withSession(undici, { pin: [keyPin], tls: { rejectUnauthorized: false } }, function* (session) {
      expect(yield* fetchText(session, url)).toBe("pinned");
    });
  });

  test("an issuer's pin accepts what it has signed, and not a chain in which it only appears", async () => {
    const { ca, leaf, leafKey, strangerLeaf, strangerKey, strangerCa, forged } = chained;
    const pin = [pinOf(new X509Certificate(ca).publicKey.export({ type: "spki", format: "der" }))];
    await using good = await startTlsServer(leaf + ca, leafKey);
    await withSession(undici, { pin, tls: { ca } }, function* (session) {
      for (let i = 0; i < 2; i++) expect(yield* fetchText(session, `https://localhost:${good.port}/`)).toBe("pinned");
    });
    for (const between of [strangerCa, forged]) {
      await using bad = await startTlsServer(strangerLeaf + between + ca, strangerKey);
      await withSession(undici, { pin, tls: { ca: [ca, strangerCa] } }, function* (session) {
        const error = yield* failureOf(session.get(`https://localhost:${bad.port}/`));
        expect(error).toBeInstanceOf(CertificatePinError);
      });
    }
    // What Node was told not to verify proves nothing.
    await withSession(undici, { pin, tls: { rejectUnauthorized: false } }, function* (session) {
      expect(yield* failureOf(session.get(`https://localhost:${good.port}/`))).toBeInstanceOf(CertificatePinError);
    });
  });

  test("a request that fails by its pin leaves others alone", async () => {
    await using server = await startTlsServer();
    await withSession(undici, { pin: { localhost: [otherPin] }, tls: { ca: certificate } }, function* (session) {
      const refused = spawn(failureOf, session.get(`https://localhost:${server.port}/`));
      expect(yield* fetchText(session, `https://127.0.0.1:${server.port}/`)).toBe("pinned");
      expect(yield* refused).toBeInstanceOf(CertificatePinError);
    });
  });
});

test("what is no pin is refused at once", async () => {
  const [, undici] = undiciVersions[0]!;
  await withSession(undici, {}, function* () {
    for (const pin of [[], ["sha1/AAAA"], [keyPin.slice(0, -2)], { host: [] }, { host: keyPin }, "sha256/x", [1]]) {
      const error = yield* failureOf(Session.open({ undici, pin: pin as never }));
      expect(error).toBeInstanceOf(UsageError);
    }
  });
});

let requests = 0;

function startTlsServer(cert = certificate, key = privateKey): Promise<TestServer> {
  requests = 0;
  return listening(
    createServer({ cert, key }, (__, response) => {
      requests++;
      response.end("pinned");
    }),
  );
}

function pinOf(bytes: Uint8Array): string {
  return `sha256/${createHash("sha256").update(bytes).digest("base64")}`;
}

function* fetchText(session: Session, url: string): Coroutine<string> {
  const response = yield* session.get(url);
  return yield* response.text();
}
