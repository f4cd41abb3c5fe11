/** What the README shows, runs. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { Process, REPOSITORY } from "./server.js";

const README = readFileSync(join(REPOSITORY, "client", "typescript", "README.md"), "utf8");
const blocks = (language: string) =>
  [...README.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(([, text]) => text ?? "");

suite("the README", () => {
  const folder = mkdtempSync(join(tmpdir(), "approve-readme-"));
  let server: Process;

  before(async () => {
    const args = ["--listen", "127.0.0.1:0", "--aws-listen", "127.0.0.1:0", "--data-dir", "data"];
    server = await Process.start(folder, "dev", ["dev", ...args]);
  });

  after(async () => {
    await server.kill();
    rmSync(folder, { recursive: true });
  });

  test("its commands install and build, and its programs run with what they made", () => {
    // A clone, and a project beside it.
    const clone = join(folder, "clone");
    const kept = join(clone, "client", "typescript");
    cpSync(join(REPOSITORY, "client", "typescript"), kept, {
      recursive: true,
      filter: (path) => !/\/(node_modules|build|dist)$/.test(path),
    });
    for (const command of blocks("sh").flatMap((block) => block.trim().split("\n"))) {
      execFileSync("sh", ["-c", command], {
        cwd: clone,
        stdio: "inherit",
        env: { ...process.env, npm_config_prefer_offline: "true", npm_config_audit: "false", npm_config_fund: "false" },
      });
    }
    const project = join(folder, "project");
    mkdirSync(join(project, "node_modules"), { recursive: true });
    // As npm does with a folder.
    symlinkSync(kept, join(project, "node_modules", "approve-client"));
    const said = blocks("js").map((program, index) => {
      assert.ok(program.includes("http://127.0.0.1:50051"));
      const file = join(project, `${index}.mjs`);
      writeFileSync(file, program.replace("http://127.0.0.1:50051", server.ready.grpc ?? ""));
      const run = spawnSync(process.execPath, [file], { encoding: "utf8", timeout: 60_000 });
      assert.equal(run.status, 0, run.stderr);
      return run.stdout;
    });
    assert.equal(said.length, 2);
    assert.match(said[0] ?? "", /"amount": ?1200\.50.*\ndecided at revision \d+n/);
    assert.match(said[1] ?? "", /0 pending\nthere is no such approval/);
  });
});
