/**
 * The environment variables that name proxies. The only file of the folder that looks at the process, and only when a session
 * asks for `proxy: "environment"`.
 *
 * Lower case goes first, as in curl. `HTTP_PROXY` in upper case is not used where there is a `REQUEST_METHOD`: a CGI server sets it from the
 * header `Proxy:` of whoever calls (the "httpoxy" hole).
 */
import { env } from "node:process";

export interface ProxyEnvironment {
  readonly http: string | undefined;
  readonly https: string | undefined;
  readonly noProxy: string;
}

export function proxyEnvironment(variables: Readonly<Record<string, string | undefined>> = env): ProxyEnvironment {
  const read = (name: string): string | undefined => variables[name] || variables[name.toUpperCase()] || undefined;
  const all = read("all_proxy");
  const isCgi = variables["REQUEST_METHOD"] !== undefined;
  return {
    http: (isCgi ? variables["http_proxy"] || undefined : read("http_proxy")) ?? all,
    https: read("https_proxy") ?? all,
    noProxy: read("no_proxy") ?? "",
  };
}
