import { ConfigError, CredentialsError } from "./errors.js";

/** The caller's own word: for servers that trust it (development, on loopback). */
export interface Asserted {
  /** A principal, `user:<name>`. */
  readonly actor: string;
  /** Names of groups, without `group:`. */
  readonly groups?: readonly string[];
}

/** An API token of the server, or a JWT of an issuer that it trusts. Sent only over TLS, or to loopback. */
export interface Bearer {
  /**
   * The token; or what returns it, which is asked before the first call, and once more when the server no longer takes
   * what it returned.
   */
  readonly bearer: string | (() => string | Promise<string>);
}

/** How the caller shows who they are. A client certificate is part of the TLS options of `approve-client/node`. */
export type Credentials = Asserted | Bearer;

/** Whom a service acts for. Needs the permission to act on behalf; both names are recorded. */
export interface OnBehalfOf {
  /** A principal, `user:<name>`. */
  readonly person: string;
  /** Names of their groups, without `group:`. */
  readonly groups?: readonly string[];
}

/** The caller's identity, as it goes with every request. */
export class Identity {
  readonly #headers: readonly (readonly [string, string])[];
  readonly #bearer: Bearer["bearer"] | undefined;
  #token: Promise<string> | undefined;

  constructor(credentials: Credentials | undefined, onBehalfOf: OnBehalfOf | undefined) {
    const headers: (readonly [string, string])[] = [];
    if (credentials && "actor" in credentials) {
      headers.push(["approve-actor", header("actor", credentials.actor)]);
      if (onBehalfOf && credentials.groups?.length) {
        throw new ConfigError("who acts for a person has no groups of their own");
      }
      headers.push(...groups(credentials.groups));
    }
    if (onBehalfOf) {
      headers.push(["approve-on-behalf-of", header("person", onBehalfOf.person)]);
      headers.push(...groups(onBehalfOf.groups));
    }
    this.#headers = headers;
    this.#bearer = credentials && "bearer" in credentials ? credentials.bearer : undefined;
  }

  /** Whether there may be another token later. */
  get isRenewable(): boolean {
    return typeof this.#bearer === "function";
  }

  /** The token to send now, if one is to be sent. */
  async token(): Promise<string | undefined> {
    if (this.#bearer === undefined) {
      return undefined;
    }
    this.#token ??= this.#ask(this.#bearer);
    try {
      return await this.#token;
    } catch (error) {
      this.#token = undefined;
      throw error;
    }
  }

  /** Another token than the one that was refused, if there is one. */
  async renew(refused: string): Promise<string | undefined> {
    // Another call may have been faster.
    if (this.#token && (await this.#token.catch(() => refused)) === refused) {
      this.#token = undefined;
    }
    const fresh = await this.token();
    return fresh === refused ? undefined : fresh;
  }

  headers(token: string | undefined): Headers {
    const headers = new Headers(this.#headers.map(([name, value]): [string, string] => [name, value]));
    if (token !== undefined) {
      if (!/^[!-~]+$/.test(token)) {
        throw new ConfigError("the bearer token is empty, or not one word of printable ASCII");
      }
      headers.set("authorization", `Bearer ${token}`);
    }
    return headers;
  }

  async #ask(bearer: Bearer["bearer"]): Promise<string> {
    if (typeof bearer === "string") {
      return bearer;
    }
    try {
      return await bearer();
    } catch (cause) {
      throw new CredentialsError("can't get a bearer token", { cause });
    }
  }
}

/** Refuses to send a token where others could read it. */
export function checkUrl(url: string, credentials: Credentials | undefined): URL {
  const bad = (why: string) => new ConfigError(`server URL ${JSON.stringify(url)}: ${why}`);
  if (!URL.canParse(url)) {
    throw bad("not a URL");
  }
  const parsed = new URL(url);
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    throw bad("it must start with http:// or https://");
  }
  if (!/^\/*$/.test(parsed.pathname) || parsed.search || parsed.username) {
    throw bad("expected a host, and perhaps a port");
  }
  const isLoopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(parsed.hostname);
  if (parsed.protocol === "http:" && credentials && "bearer" in credentials && !isLoopback) {
    throw bad("a bearer token is not sent in the clear beyond this computer; use https://");
  }
  return parsed;
}

function header(what: string, value: string): string {
  if (!/^[ -~]*$/.test(value)) {
    throw new ConfigError(`${what} ${JSON.stringify(value)}: not printable ASCII`);
  }
  return value;
}

function groups(names: readonly string[] = []): (readonly [string, string])[] {
  const bad = names.find((name) => name.includes(","));
  if (bad !== undefined) {
    throw new ConfigError(`group ${JSON.stringify(bad)}: holds a comma`);
  }
  return names.length > 0 ? [["approve-groups", header("groups", names.join(","))]] : [];
}
