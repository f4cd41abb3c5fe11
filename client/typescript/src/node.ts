import type { SecureClientSessionOptions } from "node:http2";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Client, type ClientOptions } from "./client.js";
import { checkUrl } from "./credentials.js";
import { ConfigError } from "./errors.js";

/** How TLS is made, with an `https://` URL. */
export interface Tls {
  /** The authorities to trust, and no others; PEM. Absent: those that Node trusts. */
  readonly ca?: string | Uint8Array | undefined;
  /** The certificate to show, with those between it and its authority; PEM. */
  readonly cert?: string | Uint8Array | undefined;
  /** Its key; PEM. */
  readonly key?: string | Uint8Array | undefined;
  /** The name that the server's certificate must be of. Absent: the URL's host. */
  readonly serverName?: string | undefined;
}

/** The settings of a client over gRPC. */
export interface NodeOptions extends ClientOptions {
  /** How TLS is made. */
  readonly tls?: Tls | undefined;
  /** How often an HTTP/2 PING is sent while a call is open. Default 20 s. */
  readonly keepaliveIntervalMs?: number | undefined;
  /** How long the answer to a PING may take before the connection counts as lost. Default 10 s. */
  readonly keepaliveTimeoutMs?: number | undefined;
}

/**
 * A client over gRPC, in Node. It connects with the first call, and again by itself when the connection was lost.
 *
 * Throws a ConfigError for settings that can't work.
 */
export function connect(url: string, options: NodeOptions = {}): Client {
  const { protocol } = checkUrl(url, options.credentials);
  const session: SecureClientSessionOptions = {};
  if (options.tls) {
    if (protocol !== "https:") {
      throw new ConfigError(`server URL ${JSON.stringify(url)}: TLS needs https://`);
    }
    const { ca, cert, key, serverName } = options.tls;
    if ((cert === undefined) !== (key === undefined)) {
      throw new ConfigError("the client certificate and its key go together");
    }
    Object.assign(session, pem({ ca, cert, key }), serverName === undefined ? {} : { servername: serverName });
  }
  const sessionManager = new Http2SessionManager(
    url,
    { pingIntervalMs: options.keepaliveIntervalMs ?? 20_000, pingTimeoutMs: options.keepaliveTimeoutMs ?? 10_000 },
    session,
  );
  const transport = createGrpcTransport({ baseUrl: url, sessionManager });
  return new Client(transport, options, () => sessionManager.abort());
}

function pem(parts: Record<string, string | Uint8Array | undefined>): Record<string, string | Buffer> {
  const given = Object.entries(parts).flatMap(([name, part]) => (part === undefined ? [] : [[name, part] as const]));
  return Object.fromEntries(given.map(([name, part]) => [name, typeof part === "string" ? part : Buffer.from(part)]));
}
