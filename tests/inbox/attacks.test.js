// What hostile people write, and what hostile sites do, in a real browser.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { Server, browser, signedIn } from "./harness.js";

let server, chrome;

before(async () => {
  server = await Server.start();
  chrome = await browser();
});

after(async () => {
  await chrome?.close();
  await server?.end();
});

const SCRIPTS = [
  "<script>window.pwned=1</script>",
  "<img src=x onerror=window.pwned=1>",
  "\"><svg onload=window.pwned=1>",
  "</title></textarea></script><script>window.pwned=1</script>",
  "' onfocus=window.pwned=1 autofocus x='",
  "javascript:window.pwned=1",
  "<a href=javascript:window.pwned=1 id=main>x</a>",
  "<div hx-get='/' hx-trigger='load' hx-on::after-request='window.pwned=1'>",
  "data: x\n\nevent: news\ndata: <img src=x onerror=window.pwned=1>",
];

test("nothing that others wrote runs, on any page", async () => {
  const bad = SCRIPTS.join(" ");
  const schema = JSON.stringify({ type: "object", properties: { a: { type: "string", title: bad, description: bad, default: bad }, b: { enum: [bad] }, [bad]: { type: "string" } } });
  const label = JSON.stringify(SCRIPTS[0] + SCRIPTS[1]);
  await server.workflow("hostile", `required = 2\nrejections = 5\nresponse_schema = ${JSON.stringify(schema)}\n[[rule.outcome]]\nname = "own"\nlabel = ${label}\ndecision = "approve"`.replace("required = 2\n", ""));
  const asked = { title: bad.slice(0, 250), description: bad, requester: `user:${SCRIPTS[1]}`, labels: { team: SCRIPTS[1], hostile: SCRIPTS[0] } };
  const input = JSON.stringify({ [bad]: bad, list: SCRIPTS, deep: { a: { b: { c: { [SCRIPTS[0]]: SCRIPTS[1] } } } }, long: bad.repeat(5) });
  const id = await server.ask("hostile", asked, input);
  const page = await signedIn(chrome, server, "<img src=y onerror=window.pwned=1>", "<script>window.pwned=1</script>");
  const harmless = async (where) => {
    await page.waitForLoadState();
    for (const summary of await page.locator("summary").all()) await summary.click().catch(() => {});
    const found = await page.evaluate(() => ({
      ran: window.pwned,
      elements: document.querySelectorAll("main script, main img, main svg, main iframe, main object, main embed").length,
      handlers: [...document.querySelectorAll("*")].flatMap((element) => [...element.attributes])
        .filter(({ name, value }) => name.startsWith("on") || name.startsWith("hx-on") || /^\s*javascript:/i.test(value) && name !== "value")
        .map(({ name }) => name),
    }));
    assert.deepEqual(found, { ran: undefined, elements: 0, handlers: [] }, where);
    assert.deepEqual(page.complaints.filter((text) => !/40[0-9]|422/.test(text)), [], where);
  };
  await harmless("inbox");
  // Told of while the page is open.
  await server.ask("hostile", asked, input);
  await page.getByRole("link", { name: "1 new — show" }).click();
  await page.locator(".row").nth(1).waitFor();
  await harmless("inbox, what is new");
  await page.goto(`${server.url}/approvals/${id}`);
  await harmless("approval");
  await page.getByLabel("Comment").fill(bad);
  await page.getByRole("button", { name: "Reject", exact: true }).click();
  await page.getByText("Your decision is recorded").waitFor();
  await harmless("approval, decided");
  await page.goto(`${server.url}/approvals/${id}/audit`);
  await harmless("audit");
  for (const bad of SCRIPTS) {
    await page.goto(`${server.url}/?text=${encodeURIComponent(bad)}&workflow=${encodeURIComponent(bad)}`);
    await harmless(`search for ${bad}`);
    await page.goto(`${server.url}/sign-in?next=${encodeURIComponent(bad)}&name=${encodeURIComponent(bad)}`);
    await harmless(`sign-in to ${bad}`);
  }
});

test("the page's policy stops what would get through", async () => {
  const page = await signedIn(chrome, server, "ana");
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.pwned = 1";
    document.body.append(script);
    document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.pwned = 1'>");
    document.body.setAttribute("onclick", "window.pwned = 1");
  });
  await page.locator("h1").click();
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.ok(page.complaints.some((text) => text.includes("Content Security Policy")), "the browser was told");
});

test("another site neither decides nor frames", async () => {
  await server.workflow("target", "");
  const id = await server.ask("target", { title: "Not for others to decide" });
  const page = await signedIn(chrome, server, "ana");
  await page.goto(`${server.url}/approvals/${id}`);
  const fields = await page.locator("form.decide input[type=hidden]").evaluateAll((all) => all.map(({ name, value }) => [name, value]));
  // Even knowing all that the form holds, which it could not.
  const inputs = fields.map(([name, value]) => `<input name="${name}" value="${value}">`).join("");
  const evil = createServer((request, response) => {
    response.setHeader("content-type", "text/html");
    response.end(`<form method=post action="${server.url}/approvals/${id}/decide">${inputs}<input name=choice value=approve><button>x</button></form><iframe src="${server.url}/approvals/${id}"></iframe>`);
  });
  await new Promise((resolve) => evil.listen(0, "127.0.0.1", resolve));
  try {
    await page.goto(`http://localhost:${evil.address().port}/`);
    const framed = page.frames().filter((frame) => frame !== page.mainFrame());
    for (const frame of framed) assert.equal(await frame.getByText("Not for others").count().catch(() => 0), 0);
    await page.getByRole("button", { name: "x" }).click();
    await page.getByText(/Not sent from a page of this inbox|Your session has ended/).waitFor();
    assert.equal((await server.show(id)).votes.length, 0);
  } finally {
    evil.closeAllConnections();
    evil.close();
  }
});

test("cookies are out of reach of scripts", async () => {
  const page = await signedIn(chrome, server, "ana");
  assert.equal(await page.evaluate(() => document.cookie), "");
  for (const cookie of await page.context().cookies()) {
    assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Lax"], cookie.name);
  }
  // Where one was, and nothing of what was there.
  const stored = await page.evaluate(() => [{ ...localStorage }, { ...sessionStorage }]);
  assert.deepEqual(stored, [{}, { "htmx-current-path-for-history": "/" }]);
});
