/** What is made from the `.proto` files, or repeats them, is as they are. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { Reason } from "../src/index.js";
import { REPOSITORY } from "./server.js";

const PACKAGE = join(REPOSITORY, "client", "typescript");

function files(folder: string): Map<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = names.map((entry) => join(entry.parentPath, entry.name));
  return new Map(paths.map((path) => [path.slice(folder.length), readFileSync(path, "utf8")] as const).sort());
}

suite("names", () => {
  test("what is generated is as the generator makes it", () => {
    const made = mkdtempSync(join(tmpdir(), "approve-gen-"));
    execFileSync(join(PACKAGE, "generate"), [made], { stdio: "inherit" });
    assert.equal(files(made).size, 5);
    assert.deepEqual(files(made), files(join(PACKAGE, "src", "gen")), "run tests/sdks/generate");
    rmSync(made, { recursive: true });
  });

  test("the reasons are those of the other clients", () => {
    const rust = readFileSync(join(REPOSITORY, "client", "src", "reason.rs"), "utf8");
    const names = [...rust.matchAll(/= "([A-Z_]+)",/g)].map(([, name]) => name);
    assert.ok(names.length > 30);
    assert.deepEqual(names.sort(), Object.keys(Reason).sort());
    assert.deepEqual(Object.keys(Reason), Object.values(Reason));
  });
});
