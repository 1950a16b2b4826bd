/**
 * What can go wrong before a connection stands, beyond `ConnectError`: the proxy, and a certificate that is not pinned.
 */
import { FibrilError } from "../../core/index.ts";
import { ConnectError, describeRequest, HttpError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import { PinMismatch } from "./pins.ts";

/** The server's certificate is none of those that are pinned. Nothing was sent. Code: `HTTP_CERTIFICATE_PIN`. */
export class CertificatePinError extends HttpError {
  readonly hostname: string;
  /** The pins of the host. */
  readonly expected: readonly string[];
  /** What would have fitted: key and certificate of the server, then of its issuers. */
  readonly got: readonly string[];

  constructor(subject: RequestSubject, mismatch: PinMismatch) {
    const { hostname, expected, got } = mismatch;
    super(
      "HTTP_CERTIFICATE_PIN",
      `${describeRequest(subject)} was not sent: the certificate of ${hostname} has ${got[0] ?? "no key"}, and pinned are ` +
        `${expected.join(", ")}; somebody may be listening in, or the server has a new certificate`,
      subject,
      { cause: mismatch },
    );
    this.hostname = hostname;
    this.expected = expected;
    this.got = got;
  }
}

/** What the proxy was doing when it failed. */
export type ProxyPhase = "connect" | "handshake" | "answer";

/** A proxy did not do its part. Becomes a `ProxyError`. @package */
export class ProxyFailure extends Error {
  readonly proxy: string;
  readonly phase: ProxyPhase;
  readonly status: number | undefined;

  constructor(proxy: string, phase: ProxyPhase, problem: string, status?: number, options?: ErrorOptions) {
    super(problem, options);
    this.proxy = proxy;
    this.phase = phase;
    this.status = status;
  }
}

/** The proxy could not be reached, or refused. The server has seen nothing. Code: `HTTP_PROXY`. */
export class ProxyError extends HttpError {
  /** Scheme, host and port of the proxy, without user name and password. */
  readonly proxy: string;
  /** `connect`: it was not reached; `handshake`: it broke off or was not understood; `answer`: it refused. */
  readonly phase: ProxyPhase;
  /** What an HTTP proxy answered: 407 when it wants other credentials. */
  readonly status: number | undefined;

  constructor(subject: RequestSubject, failure: ProxyFailure) {
    const advice =
      failure.status === 407
        ? "check user name and password in the proxy's URL"
        : "check the proxy's address and rules";
    super(
      "HTTP_PROXY",
      `${describeRequest(subject)} was not sent through the proxy ${failure.proxy}: ${failure.message}; ${advice}`,
      subject,
      { cause: failure.cause ?? failure },
    );
    this.proxy = failure.proxy;
    this.phase = failure.phase;
    this.status = failure.status;
  }
}

/** A SOCKS proxy is asked for, and there is no package that speaks to it. Code: `HTTP_SOCKS_MISSING`. */
export class SocksMissingError extends FibrilError {
  constructor(options?: ErrorOptions) {
    super(
      "HTTP_SOCKS_MISSING",
      'cannot use a SOCKS proxy: the package "socks" (^2) is not installed; run "npm install socks"',
      options,
    );
  }
}

/** What a failed attempt to connect means for the request that wanted it. @package */
export function connectErrorOf(subject: RequestSubject, origin: string, cause: unknown): unknown {
  if (cause instanceof PinMismatch) return new CertificatePinError(subject, cause);
  if (cause instanceof ProxyFailure) return new ProxyError(subject, cause);
  if (cause instanceof SocksMissingError) return cause;
  return new ConnectError(subject, origin, cause);
}

/** What a 407 to a request that the proxy should have passed on means. @package */
export function proxyRefused(subject: RequestSubject, proxy: { readonly label: string }): ProxyError {
  return new ProxyError(subject, new ProxyFailure(proxy.label, "answer", "it answered with status 407", 407));
}
