/**
 * Certificate pins: which certificates a host may show, beside what the trust store says.
 *
 * A pin is the SHA-256 of a certificate or of its public key. It fits when the server's own certificate has it, or, if Node has verified
 * the chain, an issuer of it. Issuers are walked by verified signatures, because what else a server puts into
 * its chain proves nothing. A pinned host resumes no TLS session: a resumed one shows the server's own certificate only.
 */
import { createHash } from "node:crypto";
import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { TLSSocket } from "node:tls";
import { UsageError } from "../../core/index.ts";

/** `sha256/…` for all hosts, or by host name. */
export type PinSettings = readonly string[] | Readonly<Record<string, readonly string[]>>;

export class Pins {
  readonly #all: readonly string[] | null;
  readonly #byHost: ReadonlyMap<string, readonly string[]>;

  constructor(all: readonly string[] | null, byHost: ReadonlyMap<string, readonly string[]>) {
    this.#all = all;
    this.#byHost = byHost;
  }

  /** @param hostname As a URL has it; with a dot at its end it is the same host. */
  of(hostname: string): readonly string[] | undefined {
    return this.#all ?? this.#byHost.get(hostname.replace(/\.$/, ""));
  }
}

/** The server has shown none of the pinned certificates. Becomes a `CertificatePinError`. @package */
export class PinMismatch extends Error {
  readonly hostname: string;
  readonly expected: readonly string[];
  readonly got: readonly string[];

  constructor(hostname: string, expected: readonly string[], got: readonly string[]) {
    super(`the certificate of ${hostname} is not one of those that are pinned`);
    this.hostname = hostname;
    this.expected = expected;
    this.got = got;
  }
}

/** @throws {UsageError} */
export function parsePins(settings: PinSettings): Pins {
  if (Array.isArray(settings)) return new Pins(checkPins("pin", settings as readonly string[]), new Map());
  if (typeof settings !== "object" || settings === null) {
    throw new UsageError('pin must be a list of "sha256/…", or an object with such lists by host name');
  }
  const byHost = new Map<string, readonly string[]>();
  for (const [host, pins] of Object.entries(settings)) byHost.set(hostnameOf(host), checkPins(`pin["${host}"]`, pins));
  return new Pins(null, byHost);
}

/** In the form that URLs give it: a pin that is never looked at would be worse than none. */
function hostnameOf(host: string): string {
  const isIpv6 = isIP(host.replace(/^\[|\]$/g, "")) === 6;
  const url = `https://${isIpv6 && !host.startsWith("[") ? `[${host}]` : host}/`;
  if ((!isIpv6 && /[:/?#@\\\s]/.test(host)) || !URL.canParse(url)) {
    throw new UsageError(`pin: "${host}" is no host name; write it without scheme, port and path`);
  }
  return new URL(url).hostname.replace(/^\[|\]$|\.$/g, "");
}

const PIN = /^sha256\/[A-Za-z0-9+/]{43}=$/; // 32 bytes

function checkPins(name: string, pins: readonly string[]): readonly string[] {
  if (!Array.isArray(pins) || pins.length === 0) throw new UsageError(`${name} must be a list of at least one pin`);
  for (const pin of pins as readonly unknown[]) {
    if (typeof pin === "string" && PIN.test(pin)) continue;
    throw new UsageError(`${name}: ${JSON.stringify(pin)} is not "sha256/" and the base64 of 32 bytes`);
  }
  return [...(pins as readonly string[])];
}

/** @throws {PinMismatch} */
export function checkCertificate(hostname: string, socket: TLSSocket, pins: readonly string[]): void {
  const got: string[] = [];
  let certificate = socket.getPeerX509Certificate();
  for (let depth = 0; certificate !== undefined && depth < LONGEST_CHAIN; depth++) {
    for (const pin of pinsOf(certificate)) {
      if (pins.includes(pin)) return;
      got.push(pin);
    }
    certificate = socket.authorized ? issuerOf(certificate) : undefined;
  }
  throw new PinMismatch(hostname, pins, got);
}

const LONGEST_CHAIN = 10; // a root's issuer is itself

function pinsOf(certificate: X509Certificate): readonly string[] {
  const key = certificate.publicKey.export({ type: "spki", format: "der" });
  return [key, certificate.raw].map((bytes) => `sha256/${createHash("sha256").update(bytes).digest("base64")}`);
}

function issuerOf(certificate: X509Certificate): X509Certificate | undefined {
  const issuer = certificate.issuerCertificate;
  if (issuer === undefined || !issuer.ca || !certificate.checkIssued(issuer)) return undefined;
  return certificate.verify(issuer.publicKey) ? issuer : undefined;
}
