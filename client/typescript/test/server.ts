import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Http2SessionManager, createGrpcWebTransport } from "@connectrpc/connect-node";
import { Client, type ClientOptions } from "../src/index.js";
import { connect as connectNode } from "../src/node.js";
import { connect as connectWeb } from "../src/web.js";

/** The repository's folder: the tests run wherever they were built. */
export const REPOSITORY = resolve(process.env["APPROVE_REPOSITORY"] ?? "../..");
const PROGRAMS = resolve(process.env["APPROVE_BIN_DIR"] ?? join(REPOSITORY, "target", "debug"));
const PATIENCE_MS = 60_000;

interface Ready {
  grpc?: string;
  aws?: string;
}

/** A program that says in a file when it is ready. */
export class Process {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  ready: Ready = {};

  private constructor(folder: string, name: string, args: string[]) {
    const log = openSync(join(folder, `${name}.log`), "a");
    const env = { ...process.env, AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test" };
    this.#child = spawn(join(PROGRAMS, "approve-server"), args, { cwd: folder, env, stdio: ["ignore", log, log] });
    this.#exited = once(this.#child, "exit");
  }

  static async start(folder: string, name: string, args: string[]): Promise<Process> {
    const ready = join(folder, `${name}.ready`);
    rmSync(ready, { force: true });
    const started = new Process(folder, name, [...args, "--ready-file", ready]);
    const end = performance.now() + PATIENCE_MS;
    while (!existsSync(ready)) {
      if (started.#child.exitCode !== null || performance.now() > end) {
        await started.kill();
        throw new Error(`the server did not start: ${readFileSync(join(folder, `${name}.log`), "utf8")}`);
      }
      await pause(20);
    }
    started.ready = JSON.parse(readFileSync(ready, "utf8"));
    return started;
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }
}

/** `approve-server serve` with a data folder and gRPC-Web, against an embedded AWS that lives longer than it. */
export class Server {
  readonly #folder = mkdtempSync(join(tmpdir(), "approve-"));
  #aws: Process | undefined;
  #process: Process | undefined;
  #listen = "127.0.0.1:0";
  url = "";

  static async start(): Promise<Server> {
    const server = new Server();
    server.#aws = await Process.start(server.#folder, "aws", ["local-aws", "--port", "0"]);
    const config = `[aws]\nregion = "us-east-1"\nendpoint = "${server.#aws.ready.aws}"\n[grpc_web]\n[worker]\nmin_polls = 4\n`;
    writeFileSync(join(server.#folder, "approve.toml"), config);
    await server.start();
    return server;
  }

  /** Starts it, at the address that it had. */
  async start(): Promise<void> {
    const args = ["serve", "--config", "approve.toml", "--data-dir", "data", "--listen", this.#listen];
    this.#process = await Process.start(this.#folder, "server", args);
    this.url = this.#process.ready.grpc ?? "";
    this.#listen = this.url.replace("http://", "");
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    await this.#process?.kill();
    this.#process = undefined;
  }

  /** Ends it and its AWS. */
  async close(): Promise<void> {
    await this.kill();
    await this.#aws?.kill();
    rmSync(this.#folder, { recursive: true });
  }
}

/** The ways to the server. */
export const WAYS: Record<string, (url: string, options: ClientOptions) => Client> = {
  gRPC: connectNode,
  "gRPC-Web by fetch": connectWeb,
  "gRPC-Web over HTTP/2": (url, options) => {
    const sessionManager = new Http2SessionManager(url);
    const transport = createGrpcWebTransport({ baseUrl: url, httpVersion: "2", sessionManager });
    return new Client(transport, options, () => sessionManager.abort());
  },
};
