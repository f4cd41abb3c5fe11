// The real server and CLI, and a real browser, for the tests of the inbox.
import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const run = promisify(execFile);
const bin = process.env.APPROVE_BIN_DIR;
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** How long anything may take before it counts as broken. */
export const DEADLINE = 20_000;

const taken = (name) => ({ [`${name}.$`]: `$.${name}` });

/** A state machine that takes what people are asked from its input, the identity from the context object. */
const definition = (seconds) => ({
  StartAt: "Ask",
  States: {
    Ask: {
      Type: "Task",
      Resource: "${activity_arn}",
      Parameters: {
        approve: {
          ...taken("title"), ...taken("description"), ...taken("requester"), ...taken("labels"), ...taken("priority"),
          "execution.$": "$$.Execution.Id", "state_machine.$": "$$.StateMachine.Id", "state.$": "$$.State.Name",
          "entered_at.$": "$$.State.EnteredTime", "attempt.$": "$$.State.RetryCount",
        },
        "input.$": "$.input",
      },
      TimeoutSeconds: seconds,
      HeartbeatSeconds: 60,
      Next: "Done",
    },
    Done: { Type: "Pass", End: true },
  },
});

/** A server of its own in a folder of its own. */
export class Server {
  static async start() {
    const server = new Server();
    server.folder = await mkdtemp(join(tmpdir(), "approve-inbox-"));
    await server.launch("127.0.0.1:0");
    return server;
  }

  async launch(listen) {
    const ready = join(this.folder, "ready.json");
    await rm(ready, { force: true });
    const args = ["dev", "--listen", listen, "--data-dir", join(this.folder, "data"), "--ready-file", ready,
      "--aws-data-file", join(this.folder, "aws")];
    this.process = spawn(join(bin, "approve-server"), args, { stdio: ["ignore", "ignore", "inherit"] });
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.url = (await until("the server to be ready", async () => JSON.parse(await readFile(ready, "utf8")))).grpc;
  }

  async stop() {
    this.process.kill("SIGTERM");
    await this.ended;
  }

  /** Starts it again at the same address: with another key for its sessions. */
  async restart() {
    await this.stop();
    await this.launch(new URL(this.url).host);
  }

  async end() {
    await this.stop();
    await rm(this.folder, { recursive: true });
  }

  async cli(...args) {
    const env = { ...process.env, APPROVE_SERVER: this.url, APPROVE_ACTOR: "robin", NO_COLOR: "1" };
    const { stdout } = await run(join(bin, "approve-cli"), args, { env });
    return stdout;
  }

  /** Provisions a workflow with a rule, in TOML. */
  async workflow(name, rule, seconds = 86_400) {
    const spec = join(this.folder, `${name}.toml`);
    await writeFile(join(this.folder, `${name}.asl.json`), JSON.stringify(definition(seconds)));
    await writeFile(spec, `name = "${name}"\n[state_machine]\ndefinition_file = "${name}.asl.json"\n[role]\nmanaged_policies = []\n[rule]\n${rule}`);
    await this.cli("workflow", "apply", spec);
  }

  /** Asks for an approval, and waits until it is there; its id. `input` is JSON text, so that it stays as it is. */
  async ask(workflow, asked, input = "{}") {
    const all = { description: "", requester: "user:robin", labels: {}, priority: "normal", ...asked };
    const text = JSON.stringify(all).replace(/}$/, `,"input":${input}}`);
    const known = new Set((await this.pending()).map((approval) => approval.id));
    await this.cli("start", "--workflow", workflow, "--input", text);
    return until("the approval", async () => {
      const fresh = (await this.pending()).find((approval) => !known.has(approval.id));
      return fresh.id;
    });
  }

  async pending() {
    return this.list("--status", "pending");
  }

  async list(...args) {
    return JSON.parse(await this.cli("list", "--output", "json", ...args));
  }

  async show(id) {
    return JSON.parse(await this.cli("show", id, "--output", "json"));
  }
}

/** Asks until there is an answer. */
export async function until(what, ask) {
  const end = Date.now() + DEADLINE;
  for (;;) {
    try {
      const answer = await ask();
      if (answer) return answer;
    } catch (error) {
      if (Date.now() > end) throw new Error(`${what}: not in time`, { cause: error });
    }
    if (Date.now() > end) throw new Error(`${what}: not in time`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A browser; each person in it has a context of their own. */
export async function browser() {
  const executablePath = process.env.CHROMIUM ?? (await run("which", ["chromium"])).stdout.trim();
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** A page in which somebody is signed in, which fails on whatever a page complains about. */
export async function signedIn(browser, server, name, groups = "", options = {}) {
  const context = await browser.newContext({ locale: "en-GB", timezoneId: "Europe/Vienna", ...options });
  context.setDefaultTimeout(DEADLINE);
  const page = await context.newPage();
  page.complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) page.complaints.push(message.text());
  });
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("dialog", (dialog) => {
    page.complaints.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.goto(server.url);
  if (options.javaScriptEnabled === false) {
    await page.goto(`${server.url}/sign-in`);
  }
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Groups").fill(groups);
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("heading", { name: "Waiting for you" }).waitFor();
  return page;
}

/** What axe finds wrong with a page. The script is put in by the browser itself, past the page's own policy. */
export async function accessibility(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() =>
    // eslint-disable-next-line no-undef
    axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} (${node.failureSummary})`).join("; ")}`);
}
