/** The client against a real server, over gRPC and over gRPC-Web: calls, and the watch over cuts, kills and silence. */
import assert from "node:assert/strict";
import { after, before, suite, test, type TestContext } from "node:test";
import {
  approve,
  ApprovalStatus,
  cancel,
  type Client,
  Code,
  ConnectionLost,
  DeadlinePassed,
  type Decide,
  Reason,
  Refused,
  reject,
  View,
  type WatchEvent,
  type WatchStream,
  withdraw,
} from "../src/index.js";
import { connect } from "../src/node.js";
import { as, ask, provision } from "./asking.js";
import { Proxy } from "./proxy.js";
import { Server, WAYS } from "./server.js";

const ASK = { workflow: "ask" };
const PROMPT = { reconnectDelayMs: [50, 200] } as const;

/** Holds a watch to its promise: each change once, in order, and none from before. */
class Told {
  readonly view = new View();
  revisions: bigint[] = [];
  resets = 0;

  async until(events: WatchStream, met: (event: WatchEvent) => boolean): Promise<WatchEvent> {
    for (;;) {
      const { value, done } = await events.next();
      assert.ok(!done, "the watch ended");
      this.view.apply(value);
      if (value.type === "upserted") {
        this.revisions.push(value.approval.revision);
      } else if (value.type === "removed") {
        this.revisions.push(value.revision);
      } else if (value.type === "reset") {
        this.resets += 1;
        this.revisions = [];
      }
      if (met(value)) {
        return value;
      }
    }
  }

  ids(): string[] {
    return this.view.all().map(({ id }) => id);
  }
}

/** Ends a client with its test. */
function held(t: TestContext, client: Client): Client {
  t.after(() => client.close());
  return client;
}

/** A proxy that ends with its test. */
async function proxied(t: TestContext, url: string): Promise<Proxy> {
  const proxy = await Proxy.start(url);
  t.after(() => proxy.close());
  return proxy;
}

const is = (type: WatchEvent["type"]) => (event: WatchEvent) => event.type === type;
const about = (id: string) => (event: WatchEvent) =>
  (event.type === "upserted" && event.approval.id === id) || (event.type === "removed" && event.id === id);

for (const [way, connectBy] of Object.entries(WAYS)) {
  suite(way, () => {
    let server: Server;
    let direct: Client;
    let client: Client;

    before(async () => {
      server = await Server.start();
      direct = connect(server.url, as());
      client = connectBy(server.url, as());
      await provision(client);
    });

    after(async () => {
      client.close();
      direct.close();
      await server.close();
    });

    test("an approval is listed, read and decided", async () => {
      const asked = await ask(client);
      assert.equal(asked.inputJson, '{"amount":1200.50}');
      assert.equal((await client.get(asked.id.slice(0, 28))).id, asked.id);
      const listed = [];
      for await (const approval of client.listAll(ASK, { statuses: [ApprovalStatus.PENDING], pageSize: 1 })) {
        listed.push(approval.id);
      }
      assert.ok(listed.includes(asked.id));
      assert.notEqual((await client.explain(asked.id)).summary, "");
      const decided = await client.decide(approve(asked.id, { comment: "right", etag: asked.etag, waitForDelivery: true }));
      assert.equal(decided.approval.status, ApprovalStatus.APPROVED);
      assert.deepEqual(decided.approval.decidedBy, ["user:ana"]);
      assert.ok(decided.revision > asked.revision);
      const execution = await client.getExecution(asked.source?.executionArn ?? "");
      assert.match(execution.outputJson, /"amount":1200\.50/);
      assert.equal((await client.caller()).principal, "user:ana");
      const { workflows } = await client.call((options) => client.workflows.listWorkflows({}, options));
      assert.deepEqual(workflows.map(({ name }) => name), ["ask"]);
    });

    test("errors say what the server said", async (t) => {
      const asked = await ask(client);
      const failure = async (decide: Decide) => {
        const error = await client.decide(decide).then(() => assert.fail("it went well"), (error: unknown) => error);
        assert.ok(error instanceof Refused, String(error));
        return error;
      };
      const missing = await failure(approve("apr_00000000000000000000000000"));
      assert.deepEqual([missing.code, missing.reason], [Code.NotFound, Reason.APPROVAL_NOT_FOUND]);
      const long = await failure(approve(asked.id, { comment: "x".repeat(5000) }));
      assert.equal(long.reason, Reason.INVALID_FIELD);
      assert.deepEqual(long.fieldViolations.map(({ field }) => field), ["comment"]);
      const stale = await failure(approve(asked.id, { etag: "old" }));
      assert.deepEqual([stale.code, stale.reason], [Code.Aborted, Reason.ETAG_MISMATCH]);
      assert.equal(stale.metadata["etag"], asked.etag);
      const decide = approve(asked.id);
      await client.decide(decide);
      const final = await failure(reject(asked.id));
      assert.deepEqual([final.reason, final.metadata["status"]], [Reason.ALREADY_DECIDED, "APPROVED"]);
      assert.equal((await failure(reject(asked.id, { requestId: decide.requestId }))).reason, Reason.REQUEST_ID_REUSED);
      const nobody = held(t, connectBy(server.url, {}));
      await assert.rejects(nobody.get(asked.id), (error: Refused) => error.reason === Reason.UNAUTHENTICATED);
    });

    test("what else may be done with an approval", async (t) => {
      const { id, status } = await ask(client);
      assert.equal((await client.claim(id, 60_000)).assignment?.assignee, "user:ana");
      assert.equal((await client.release(id)).assignment, undefined);
      assert.equal((await client.reassign(id, "user:cy", { comment: "yours" })).assignment?.assignee, "user:cy");
      await client.release(id);
      const until = new Date(Date.now() + 3_600_000);
      assert.equal((await client.hold(id, "an audit", { until })).hold?.reason, "an audit");
      assert.equal((await client.resume(id)).hold, undefined);
      assert.equal((await client.withdraw(withdraw(id))).status, status);
      assert.equal((await client.cancel(cancel(id, "paid already"))).status, ApprovalStatus.CANCELED);
      const other = await ask(client);
      const service = held(t, connectBy(server.url, as("service:inbox")));
      const decided = await service.onBehalfOf("user:dee", ["finance"]).decide(approve(other.id));
      assert.deepEqual(decided.approval.votes.map((vote) => [vote.voter, vote.castBy]), [["user:dee", "service:inbox"]]);
    });

    test("a decision whose answer is lost is sent again and counts once", async (t) => {
      const asked = await ask(client);
      const proxy = await proxied(t, server.url);
      const behind = held(t, connectBy(proxy.url, as()));
      await behind.get(asked.id);
      const before = proxy.connections;
      proxy.swallows = true;
      const decide = approve(asked.id, { comment: "once" });
      const deciding = behind.decide(decide);
      // It is on disk, and only the answer is lost.
      const events = direct.watch({ executionArn: asked.source?.executionArn ?? "" });
      while ((await direct.get(asked.id)).status === asked.status) {
        await events.next();
      }
      events.close();
      proxy.swallows = false;
      proxy.cut();
      const decided = await deciding;
      assert.ok(proxy.connections > before);
      assert.deepEqual((await direct.get(asked.id)).votes.map(({ comment }) => comment), ["once"]);
      assert.deepEqual(await direct.decide(decide), decided);
    });

    test("a kill in the middle loses nothing and repeats nothing", async (t) => {
      const proxy = await proxied(t, server.url);
      const behind = held(t, connectBy(proxy.url, as()));
      const told = new Told();
      const first = [(await ask(client)).id, (await ask(client)).id];
      const events = behind.watch(ASK, PROMPT);
      await told.until(events, is("synced"));
      const before = told.ids();
      const snapshot = told.revisions.length;
      assert.ok(first.every((id) => before.includes(id)));
      const live = (await ask(client)).id;
      await told.until(events, about(live));
      const token = events.resumeToken;
      const covered = told.revisions.length;

      proxy.refuses = true;
      await server.kill();
      await told.until(events, is("disconnected"));
      await server.start();
      // All this happens while nobody watches.
      await direct.decide(approve(first[0] ?? ""));
      const missed = (await ask(direct)).id;
      await direct.decide(reject(live));
      proxy.refuses = false;
      await told.until(events, is("synced"));

      const left = [...before.filter((id) => id !== first[0]), missed];
      assert.deepEqual(told.ids(), left.sort());
      assert.equal(told.resets, 0);
      const since = told.revisions.slice(snapshot);
      const ordered = [...new Set(since)].sort((one, other) => (one < other ? -1 : 1));
      assert.deepEqual(since, ordered);
      await direct.decide(approve(missed));
      await told.until(events, about(missed));
      events.close();
      assert.deepEqual(await events.next(), { done: true, value: undefined });

      // Another process goes on from the token alone.
      const later = new Told();
      const resumed = behind.watch(ASK, { resumeToken: token });
      await later.until(resumed, is("synced"));
      resumed.close();
      assert.deepEqual(later.revisions, told.revisions.slice(covered));
    });

    test("a silent stream is given up and resumed", async (t) => {
      const proxy = await proxied(t, server.url);
      const behind = held(t, connectBy(proxy.url, as()));
      const told = new Told();
      const events = behind.watch(ASK, { heartbeatIntervalMs: 1_000, ...PROMPT });
      await told.until(events, is("synced"));
      proxy.swallows = true;
      const asked = (await ask(direct)).id;
      const lost = await told.until(events, is("disconnected"));
      assert.ok(lost.type === "disconnected" && lost.cause instanceof DeadlinePassed);
      proxy.swallows = false;
      proxy.cut();
      await told.until(events, about(asked));
      assert.equal(told.resets, 0);
      events.close();
    });

    test("closing wakes whoever waits, and a loop that is left closes", async () => {
      const events = client.watch(ASK);
      await new Told().until(events, is("synced"));
      const waiting = events.next();
      events.close();
      assert.deepEqual(await waiting, { done: true, value: undefined });
      const left = client.watch(ASK);
      for await (const event of left) {
        if (event.type === "synced") {
          break;
        }
      }
      assert.equal((await left.next()).done, true);
    });

    test("a token of another filter ends the watch", async () => {
      const events = client.watch(ASK);
      await new Told().until(events, is("synced"));
      events.close();
      const other = client.watch({ workflow: "other" }, { resumeToken: events.resumeToken });
      await assert.rejects(other.next(), (error: Refused) => error.reason === Reason.RESUME_TOKEN_INVALID);
      assert.equal((await other.next()).done, true);
    });

    test("a server that is away is a lost connection, and a late answer a passed deadline", async (t) => {
      const proxy = await proxied(t, server.url);
      proxy.refuses = true;
      const behind = held(t, connectBy(proxy.url, as("user:ana", { requestTimeoutMs: 500 })));
      await assert.rejects(behind.decide(approve("apr_1")), ConnectionLost);
      proxy.refuses = false;
      proxy.swallows = true;
      await assert.rejects(behind.get("apr_1"), DeadlinePassed);
    });
  });
}
