import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { Client, type ClientOptions } from "./client.js";
import { checkUrl } from "./credentials.js";

/**
 * A client over gRPC-Web, in browsers and wherever there is `fetch`. The server has to have it on (`[grpc_web]`), and the
 * page's origin among `allowed_origins`; `dev` has, for localhost.
 *
 * Throws a ConfigError for settings that can't work.
 */
export function connect(url: string, options: ClientOptions = {}): Client {
  checkUrl(url, options.credentials);
  return new Client(createGrpcWebTransport({ baseUrl: url }), options);
}
