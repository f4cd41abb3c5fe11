// Every page, in light and dark, at a desk and on a phone: accessible, and as it was looked at.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Server, accessibility, browser, signedIn } from "./harness.js";

const pictures = process.env.APPROVE_SCREENSHOTS;
let server, chrome, ids;

const BUDGET = `
order = "sequential"
comment = "on_reject"
response_schema = '''{"type": "object", "required": ["amount", "centre"], "properties": {
  "amount": {"type": "number", "title": "Amount to release", "description": "In euros", "maximum": 50000},
  "centre": {"enum": ["4100 Marketing", "4200 Research", "4300 Sales"], "title": "Cost centre"},
  "again": {"type": "boolean", "title": "Ask again next quarter"},
  "note": {"type": "string", "title": "Note for controlling", "maxLength": 400}}}'''
[[rule.stage]]
name = "Team lead"
approvers = ["group:leads"]
[[rule.stage]]
name = "Finance"
approvers = ["group:finance"]
required = 2
[[rule.outcome]]
name = "postpone"
label = "Postpone to next quarter"
decision = "reject"
[[rule.outcome]]
name = "partly"
label = "Approve in part"
decision = "approve"
`;

const INVOICE = `{"invoice_number": 4711, "amount": 1200.50, "currency": "EUR", "due_date": "2026-12-24", "urgent": false,
  "vendor": {"name": "ACME Ges.m.b.H.", "city": "Graz", "iban": "AT61 1904 3002 3457 3201", "contact": {"name": "M. Huber", "phone": null}},
  "lines": [{"what": "Paper, A4", "pieces": 200, "price": 4.10}, {"what": "Toner", "pieces": 2, "price": 190.25}],
  "remarks": "Please pay before Christmas. The discount of 2 % holds until then."}`;

before(async () => {
  server = await Server.start();
  chrome = await browser();
  await server.workflow("pay-invoice", 'approvers = ["group:finance"]\nrequired = 2\nexpires_after = "20h"');
  await server.workflow("release-budget", BUDGET);
  await server.workflow("deploy", 'approvers = ["group:finance", "group:operations"]', 2_400);
  ids = {};
  ids.invoice = await server.ask("pay-invoice", { title: "Pay invoice 4711 of ACME", description: "Goods arrived on 3 November and were checked.\nThe order is PO-2208.", requester: "user:robin", labels: { cost_centre: "4100", country: "AT" } }, INVOICE);
  for (let at = 0; at < 6; at += 1) {
    await server.ask("pay-invoice", { title: `Pay invoice ${4712 + at} of ${["Globex", "Initech", "Umbrella", "Hooli", "Wonka", "Stark"][at]}`, requester: `user:${["robin", "kim", "alex"][at % 3]}`, priority: at === 2 ? "high" : "normal" }, `{"invoice_number": ${4712 + at}, "amount": ${(at + 1) * 317}.40, "currency": "EUR"}`);
  }
  ids.deploy = await server.ask("deploy", { title: "Deploy payments 2.14.0 to production", requester: "service:ci", priority: "urgent", description: "Changes the schema; cannot be rolled back by itself." }, '{"service": "payments", "version": "2.14.0", "commit": "8f3c1e2", "changes": 42, "migrations": ["0031_ledger_index", "0032_drop_legacy"]}');
  ids.budget = await server.ask("release-budget", { title: "Release the budget of the winter campaign", requester: "user:kim" }, '{"campaign": "Winter", "amount": 38000.00, "until": "2027-02-28"}');
  ids.long = await server.ask("deploy", { title: "A title that goes on for as long as titles may, since somebody wrote down everything there is to say about it in one line", requester: "user:alex" }, `{"notes": "${"All that was said in the meeting. ".repeat(40)}", "token_without_any_space": "${"x".repeat(200)}"}`);
  // Ana has voted for one; Bo rejected another.
  await server.cli("--as", "bo", "--group", "finance", "decide", ids.invoice, "--approve", "--comment", "Checked against the order.");
  const { id } = (await server.list("--workflow", "pay-invoice")).find(({ title }) => title.includes("4713"));
  await server.cli("--as", "bo", "--group", "finance", "decide", id, "--reject", "--comment", "This was paid in October.");
  ids.rejected = id;
  const other = (await server.list("--workflow", "pay-invoice")).find(({ title }) => title.includes("4716"));
  for (const who of ["bo", "cy"]) await server.cli("--as", who, "--group", "finance", "decide", other.id, "--approve");
});

after(async () => {
  await chrome?.close();
  await server?.end();
});

for (const colorScheme of ["light", "dark"]) {
  for (const [size, viewport] of [["desk", { width: 1280, height: 860 }], ["phone", { width: 390, height: 844 }]]) {
    test(`every page is accessible: ${colorScheme}, ${size}`, async () => {
      const phone = size === "phone";
      const page = await signedIn(chrome, server, "ana", "finance, leads", { colorScheme, viewport, hasTouch: phone, deviceScaleFactor: phone ? 2 : 1 });
      const wrong = [];
      const look = async (name) => {
        if (pictures) {
          await mkdir(pictures, { recursive: true });
          await page.screenshot({ path: join(pictures, `${name}-${size}-${colorScheme}.png`), fullPage: true });
        }
        wrong.push(...(await accessibility(page)).map((text) => `${name}: ${text}`));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        if (wide > 0) wrong.push(`${name}: ${wide} pixels wider than the window`);
      };
      await look("inbox");
      const boxes = page.locator("input[name=pick]");
      for (const at of [1, 2, 3]) await boxes.nth(at).check();
      await look("inbox-selected");
      await page.getByRole("button", { name: "Approve selected" }).click();
      await page.getByRole("heading", { name: /^Approve \d/ }).waitFor();
      await look("bulk");
      await page.goto(`${server.url}/?text=nothing+fits`);
      await look("inbox-empty");
      await page.goto(`${server.url}/approvals/${ids.invoice}`);
      await page.getByText("Vendor", { exact: true }).waitFor();
      await look("approval");
      await page.locator("summary").first().click();
      await page.goto(`${server.url}/approvals/${ids.budget}`);
      await look("form");
      await page.getByLabel("Amount to release").fill("51.000");
      await page.getByRole("button", { name: "Approve", exact: true }).click();
      await page.getByRole("alert").waitFor();
      await look("form-wrong");
      await page.goto(`${server.url}/approvals/${ids.long}`);
      await look("long");
      await page.goto(`${server.url}/approvals/${ids.rejected}`);
      await look("ended");
      await page.goto(`${server.url}/approvals/${ids.invoice}/audit`);
      await look("audit");
      await page.goto(`${server.url}/history`);
      await look("history");
      await page.goto(`${server.url}/approvals/apr_00000000000000000000000000`);
      await look("not-found");
      assert.deepEqual(page.complaints.filter((text) => !text.includes("404") && !text.includes("422")), []);
      await page.goto(`${server.url}/sign-in`);
      await look("sign-in");
      await page.context().close();
      assert.deepEqual(wrong, []);
    });
  }
}
