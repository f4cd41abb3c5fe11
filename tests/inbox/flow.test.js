// The whole flow: what a person does in the inbox, what others do meanwhile, and what becomes of the workflow.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Server, browser, signedIn, until } from "./harness.js";

let server, chrome;

before(async () => {
  server = await Server.start();
  chrome = await browser();
  await server.workflow("pay", 'approvers = ["group:finance"]\nrequired = 2');
  await server.workflow("ship", 'approvers = ["group:finance"]');
});

after(async () => {
  await chrome?.close();
  await server?.end();
});

const decision = (page, name) => page.getByRole("button", { name, exact: true });
const silent = (page, ...expected) =>
  assert.deepEqual(page.complaints.filter((text) => !expected.some((one) => text.includes(one))), []);

/** Opens an approval from the list. */
async function open(page, title) {
  await page.goto(server.url);
  await page.getByRole("link", { name: title }).click();
  await page.getByRole("heading", { name: title }).waitFor();
}

test("two people decide in two clicks each, and the workflow goes on", async () => {
  const ana = await signedIn(chrome, server, "ana", "finance");
  const bo = await signedIn(chrome, server, "bo", "finance");
  const id = await server.ask("pay", { title: "Pay invoice 1" }, '{"amount": 1200.50}');
  await open(ana, "Pay invoice 1");
  assert.equal(await ana.locator(".fields .number").first().textContent(), "1200.50");
  await decision(ana, "Approve").click();
  await ana.getByText("Your decision is recorded. It takes more").waitFor();
  assert.match(await ana.locator(".stages").innerText(), /1 of 2 approvals from the group finance[\s\S]*ana approved/);

  await open(bo, "Pay invoice 1");
  await bo.getByLabel("Comment").fill("fine");
  await decision(bo, "Approve").click();
  await bo.getByRole("heading", { name: "How it ended" }).waitFor();
  const approval = await server.show(id);
  assert.equal(approval.status, "approved");
  const arn = approval.source.execution_arn;
  await until("the end of the execution", async () =>
    JSON.parse(await server.cli("execution", arn, "--output", "json")).status.toLowerCase() === "succeeded");
  await bo.goto(`${server.url}/approvals/${id}/audit`);
  assert.match(await bo.locator(".record").innerText(), /by ana · in this inbox/);
  silent(ana);
  silent(bo);
});

test("what comes in is counted above the list, and nothing moves until it is asked for", async () => {
  await server.ask("ship", { title: "Ship one" });
  const second = await server.ask("ship", { title: "Ship two" });
  const ana = await signedIn(chrome, server, "ana", "finance");
  const row = ana.locator(`#${second}`);
  const before = await row.boundingBox();
  const box = row.getByRole("checkbox");
  await box.hover();
  // One that is more urgent would stand above it.
  await server.ask("ship", { title: "Ship at once", priority: "urgent" });
  await ana.getByRole("link", { name: "1 new — show" }).waitFor();
  await server.ask("ship", { title: "Ship soon", priority: "high" });
  const news = ana.getByRole("link", { name: "2 new — show" });
  await news.waitFor();
  assert.deepEqual(await row.boundingBox(), before, "nothing moved");
  assert.equal(await ana.getByRole("link", { name: "Ship at once" }).count(), 0);
  // Somebody else decides one that is shown: its row says so, and stays where it is.
  await server.cli("--as", "bo", "--group", "finance", "decide", second, "--approve");
  await row.getByText("Approved meanwhile.").waitFor();
  assert.deepEqual(await row.boundingBox(), before, "nothing moved");
  await ana.mouse.down();
  await ana.mouse.up();
  assert.equal(await box.isChecked(), true, "the click went where it was aimed");
  // What it would decide is the version that was shown.
  await ana.getByRole("button", { name: "Reject selected" }).click();
  await ana.getByText("It has changed since you selected it").waitFor();
  await ana.goBack();
  await ana.goto(server.url);
  await ana.getByRole("link", { name: "Ship at once" }).waitFor();
  assert.equal(await ana.getByRole("link", { name: "Ship two" }).count(), 0);
  silent(ana);
});

test("the list takes in what is new when it is asked to, and goes on listening", async () => {
  const ana = await signedIn(chrome, server, "ana", "finance");
  await server.ask("ship", { title: "First of them" });
  await ana.getByRole("link", { name: "1 new — show" }).click();
  await ana.getByRole("link", { name: "First of them" }).waitFor();
  await server.ask("ship", { title: "Second of them" });
  await ana.getByRole("link", { name: "1 new — show" }).click();
  await ana.getByRole("link", { name: "Second of them" }).waitFor();
  // A search is a list of its own, and is told only of what fits.
  await ana.getByLabel("Search").fill("third");
  await ana.getByText("Nothing fits.").waitFor();
  await until("the address to say it", async () => ana.url().includes("text=third"));
  await server.ask("ship", { title: "Not to be told of" });
  await server.ask("ship", { title: "The third of them" });
  await ana.getByRole("link", { name: "1 new — show" }).click();
  await ana.getByRole("link", { name: "The third of them" }).waitFor();
  assert.equal(await ana.getByRole("link", { name: "Not to be told of" }).count(), 0);
  silent(ana);
});

test("a stale page decides nothing, keeps what was written, and says so before", async () => {
  const id = await server.ask("pay", { title: "Pay invoice 2" });
  const [ana, bo] = [await signedIn(chrome, server, "ana", "finance"), await signedIn(chrome, server, "bo", "finance")];
  await open(ana, "Pay invoice 2");
  await open(bo, "Pay invoice 2");
  await ana.getByLabel("Comment").fill("as agreed");
  const button = decision(ana, "Approve");
  const before = await button.boundingBox();
  await decision(bo, "Approve").click();
  await bo.getByText("Your decision is recorded").waitFor();
  await ana.getByRole("link", { name: "This has changed since you opened it" }).waitFor();
  assert.deepEqual(await button.boundingBox(), before, "nothing moved");
  await button.click();
  await ana.getByRole("alert").getByText("It has changed since you opened it").waitFor();
  assert.equal((await server.show(id)).votes.length, 1);
  assert.equal(await ana.getByLabel("Comment").inputValue(), "as agreed");
  await decision(ana, "Approve").click();
  await ana.getByRole("heading", { name: "How it ended" }).waitFor();
  assert.equal((await server.show(id)).votes.length, 2);
  silent(ana, "409");
});

test("two browsers at once: one decision each, and never two", async () => {
  const id = await server.ask("ship", { title: "Ship by one of them" });
  const people = await Promise.all(["ana", "bo"].map((name) => signedIn(chrome, server, name, "finance")));
  for (const page of people) await open(page, "Ship by one of them");
  await Promise.all(people.map((page, at) => decision(page, at === 0 ? "Approve" : "Reject").click()));
  await Promise.all(people.map((page) => page.getByRole("heading", { name: "How it ended" }).waitFor()));
  const { votes, status } = await server.show(id);
  assert.equal(votes.length, 1);
  const [winner, other] = status === "approved" ? people : [people[1], people[0]];
  await winner.getByText("Your decision is recorded.").waitFor();
  await other.getByRole("alert").getByText(/^It was (approved|rejected) already by/).waitFor();
});

test("a session that has ended decides nothing, and leads back", async () => {
  const id = await server.ask("ship", { title: "Ship after signing in again" });
  const ana = await signedIn(chrome, server, "ana", "finance");
  await open(ana, "Ship after signing in again");
  await ana.context().clearCookies();
  await decision(ana, "Approve").click();
  await ana.getByRole("heading", { name: "Your session has ended" }).waitFor();
  assert.equal((await server.show(id)).votes.length, 0);
  await ana.getByRole("link", { name: "Sign in" }).click();
  await ana.getByRole("button", { name: /^ana/ }).click();
  await ana.getByRole("heading", { name: "Ship after signing in again" }).waitFor();
  // Another key: a server that was started anew.
  await server.restart();
  await decision(ana, "Approve").click();
  await ana.getByRole("heading", { name: "Your session has ended" }).waitFor();
  assert.equal((await server.show(id)).votes.length, 0);
  await ana.getByRole("link", { name: "Sign in" }).click();
  await ana.getByRole("button", { name: /^ana/ }).click();
  await decision(ana, "Approve").click();
  await ana.getByRole("heading", { name: "How it ended" }).waitFor();
  assert.equal((await server.show(id)).status, "approved");
});

test("it works with the keyboard alone", async () => {
  await server.ask("ship", { title: "Ship by keys" });
  const ana = await signedIn(chrome, server, "ana", "finance");
  await ana.keyboard.press("Tab");
  assert.equal(await ana.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await ana.keyboard.press("Enter");
  const until_ = async (name) => {
    for (let at = 0; at < 60; at += 1) {
      const focused = await ana.evaluate(() => document.activeElement.textContent.trim());
      if (focused === name) return;
      await ana.keyboard.press("Tab");
    }
    assert.fail(`no way to ${name}`);
  };
  await until_("Ship by keys");
  await ana.keyboard.press("Enter");
  await ana.getByRole("heading", { name: "Your decision" }).waitFor();
  await until_("Approve");
  await ana.keyboard.press("Enter");
  await ana.getByRole("heading", { name: "How it ended" }).waitFor();
});

test("it works without scripts", async () => {
  const ids = [await server.ask("ship", { title: "Plain one" }), await server.ask("ship", { title: "Plain two" })];
  const ana = await signedIn(chrome, server, "ana", "finance", { javaScriptEnabled: false });
  await ana.getByLabel("Search").fill("plain");
  await ana.getByRole("button", { name: "Search" }).click();
  assert.equal(await ana.locator(".row").count(), 2);
  for (const box of await ana.locator("input[name=pick]").all()) await box.check();
  await ana.getByRole("button", { name: "Approve selected" }).click();
  await ana.getByRole("heading", { name: "Approve 2 requests?" }).waitFor();
  for (const id of ids) assert.equal((await server.show(id)).status, "pending", "nothing was decided yet");
  await ana.getByRole("button", { name: "Approve 2" }).click();
  await ana.getByRole("heading", { name: "Approve: 2 done" }).waitFor();
  for (const id of ids) assert.equal((await server.show(id)).status, "approved");
  await ana.getByRole("link", { name: "History" }).click();
  await ana.getByRole("link", { name: "Plain two" }).waitFor();
});

test("Enter in a field decides nothing", async () => {
  await server.workflow("form", `response_schema = '''{"type": "object", "properties": {"amount": {"type": "number"}}}'''`);
  const id = await server.ask("form", { title: "Say an amount" });
  const ana = await signedIn(chrome, server, "ana", "finance");
  await open(ana, "Say an amount");
  await ana.getByLabel("Amount").fill("12.50");
  await ana.getByLabel("Amount").press("Enter");
  await ana.getByLabel("Comment").fill("yes");
  assert.equal((await server.show(id)).votes.length, 0);
  await decision(ana, "Approve").click();
  await ana.getByRole("heading", { name: "How it ended" }).waitFor();
  assert.equal((await server.show(id)).votes[0].response?.amount ?? JSON.parse((await server.show(id)).votes[0].response_json).amount, 12.5);
});
