/**
 * What all connections of a session are made with: one resolver, one TLS context (making one costs 1 ms), and the TLS sessions that servers
 * have given, so that the next handshake with them is a short one.
 */
import { createSecureContext } from "node:tls";
import type { SecureContext } from "node:tls";
import type { LoopPort } from "../../lowlevel.ts";
import { Dial } from "./dial.ts";
import type { DialCallback, DialContext, DialOrder, DialTarget } from "./dial.ts";
import type { ConnectSettings } from "./options.ts";
import type { Proxy } from "./proxy.ts";
import { Resolver } from "./resolver.ts";

const TLS_SESSIONS = 100;

export class Dialer implements DialContext {
  readonly loop: LoopPort;
  readonly settings: ConnectSettings;
  readonly resolver: Resolver;
  /** The last ticket of each server; the oldest goes first. */
  readonly tlsSessions: Map<string, Buffer> = new Map();
  #context: SecureContext | null = null;

  constructor(loop: LoopPort, settings: ConnectSettings) {
    this.loop = loop;
    this.settings = settings;
    this.resolver = new Resolver(loop, settings.dns);
  }

  /** @throws when Node refuses the options. */
  get tlsContext(): SecureContext {
    return (this.#context ??= createSecureContext(this.settings.tls));
  }

  keepTlsSession(key: string, session: Buffer): void {
    this.tlsSessions.delete(key);
    this.tlsSessions.set(key, session);
    if (this.tlsSessions.size <= TLS_SESSIONS) return;
    for (const oldest of this.tlsSessions.keys()) {
      this.tlsSessions.delete(oldest);
      break;
    }
  }

  proxyFor(target: DialTarget): Proxy | null {
    const { proxy } = this.settings;
    if (proxy === null) return null;
    return proxy.route(target.isEncrypted ? "https:" : "http:", target.hostname, target.port);
  }

  dial(order: DialOrder, done: DialCallback): Dial {
    const dial = new Dial(this, order, done);
    dial.begin();
    return dial;
  }
}
