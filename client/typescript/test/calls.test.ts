/** Calls to a server that is played here: what is sent again, when, and with what. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type HandlerContext, type Transport } from "@connectrpc/connect";
import {
  approve,
  Client,
  ConfigError,
  ConnectionLost,
  type Credentials,
  CredentialsError,
  DeadlinePassed,
  Reason,
  Refused,
  reject,
} from "../src/index.js";
import { ApprovalService, type DecideRequest } from "../src/gen/approve/v1/approvals_pb.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { connect as connectNode } from "../src/node.js";
import { connect as connectWeb } from "../src/web.js";

class Played {
  readonly requests: DecideRequest[] = [];
  readonly tokens: string[] = [];
  readonly timeouts: (number | undefined)[] = [];
  failures: ((token: string) => ConnectError | undefined)[] = [];
  readonly transport: Transport = createRouterTransport(({ service }) => {
    service(ApprovalService, {
      decide: (request, context) => {
        this.requests.push(request);
        this.#fail(context);
        return { approval: { id: request.approvalId }, revision: 7n };
      },
      claimApproval: (request, context) => {
        this.#fail(context);
        return { approval: { id: request.approvalId } };
      },
    });
  });

  #fail(context: HandlerContext): void {
    const token = context.requestHeader.get("authorization") ?? "";
    this.tokens.push(token);
    this.timeouts.push(context.timeoutMs());
    const failure = this.failures.shift()?.(token);
    if (failure) {
      throw failure;
    }
  }
}

const info = (reason: string, metadata: Record<string, string> = {}, domain = "approve.v1") => ({
  desc: ErrorInfoSchema,
  value: create(ErrorInfoSchema, { reason, domain, metadata }),
});
const retry = (milliseconds: number) => ({
  desc: RetryInfoSchema,
  value: create(RetryInfoSchema, { retryDelay: { seconds: 0n, nanos: milliseconds * 1e6 } }),
});
const fails =
  (code: Code, ...details: ConstructorParameters<typeof ConnectError>[3] & {}) =>
  () =>
    new ConnectError("no", code, { "grpc-status": String(code) }, details);

suite("calls", () => {
  test("a decision is repeated with its request id after the time that the server asks", async () => {
    const played = new Played();
    played.failures = [fails(Code.Unavailable, info("STORE_UNAVAILABLE"), retry(300)), fails(Code.Unavailable)];
    const client = new Client(played.transport);
    const decide = approve("apr_1", { comment: "ok" });
    const started = performance.now();
    assert.equal((await client.decide(decide)).revision, 7n);
    assert.ok(performance.now() - started >= 300);
    assert.equal((await client.decide(decide)).approval.id, "apr_1");
    assert.match(decide.requestId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(played.requests.length, 4);
    for (const request of played.requests) {
      assert.deepEqual(request, played.requests[0]);
      assert.equal(request.requestId, decide.requestId);
    }
    assert.ok(played.timeouts.every((left) => left !== undefined && left > 0 && left <= 30_000));
    assert.notEqual(approve("apr_1").requestId, approve("apr_1").requestId);
  });

  test("it gives up after six attempts or at the deadline", async () => {
    const played = new Played();
    played.failures = Array(9).fill(fails(Code.Unavailable, info("STORE_UNAVAILABLE")));
    const failure = new Client(played.transport).decide(approve("apr_1"));
    await assert.rejects(failure, (error: Refused) => error.reason === Reason.STORE_UNAVAILABLE);
    assert.equal(played.requests.length, 6);
    played.failures = Array(9).fill(fails(Code.Unavailable, info("STORE_UNAVAILABLE"), retry(999)));
    await assert.rejects(new Client(played.transport, { requestTimeoutMs: 900 }).decide(approve("apr_1")), Refused);
    assert.equal(played.requests.length, 7);
  });

  test("what is not protected is not repeated, but for what was refused at the door", async () => {
    const played = new Played();
    const client = new Client(played.transport);
    played.failures = [fails(Code.Unavailable)];
    await assert.rejects(client.decide(approve("apr_1", { requestId: "" })), ConnectionLost);
    played.failures = [fails(Code.Unavailable)];
    await assert.rejects(client.claim("apr_1"), ConnectionLost);
    played.failures = [fails(Code.ResourceExhausted, info("LIMIT_EXCEEDED", { limit: "streams" }), retry(50))];
    assert.equal((await client.claim("apr_1")).id, "apr_1");
    assert.equal(played.requests.length, 1);
  });

  test("an error keeps all that the server said", async () => {
    const played = new Played();
    const bad = {
      desc: BadRequestSchema,
      value: create(BadRequestSchema, { fieldViolations: [{ field: "comment", description: "too long" }] }),
    };
    played.failures = [
      fails(Code.FailedPrecondition, info("ALREADY_DECIDED", { status: "APPROVED" }), bad, retry(0)),
      fails(Code.Internal, info("MADE_UP_LATER")),
    ];
    const client = new Client(played.transport);
    const failure = () => client.decide(reject("apr_1")).then(() => assert.fail("it went well"), (error: Refused) => error);
    const error = await failure();
    assert.ok(error instanceof Refused && error.kind === "refused");
    assert.deepEqual([error.code, error.reason, error.message], [Code.FailedPrecondition, "ALREADY_DECIDED", "no"]);
    assert.equal(error.metadata["status"], "APPROVED");
    assert.deepEqual(error.fieldViolations, [{ field: "comment", description: "too long" }]);
    assert.deepEqual([error.retryDelayMs, error.isRetryable], [0, true]);
    assert.equal((await failure()).reason, "MADE_UP_LATER");
  });

  test("a passed deadline is one whoever noticed", async () => {
    const played = new Played();
    played.failures = [fails(Code.DeadlineExceeded, info("DEADLINE_EXCEEDED"))];
    await assert.rejects(new Client(played.transport).decide(approve("apr_1")), DeadlinePassed);
  });

  test("a token that is refused is asked for anew once", async () => {
    const played = new Played();
    const client = (credentials: Credentials) => new Client(played.transport, { credentials });
    const refuseOld = (token: string) =>
      token === "Bearer new" ? undefined : fails(Code.Unauthenticated, info("UNAUTHENTICATED"))();
    const answers = ["old", "new"];
    played.failures = [refuseOld, refuseOld];
    await client({ bearer: async () => answers.shift() ?? "" }).decide(approve("apr_1"));
    assert.deepEqual(played.tokens, ["Bearer old", "Bearer new"]);
    played.failures = [refuseOld];
    await assert.rejects(client({ bearer: "old" }).decide(approve("apr_1")), Refused);
    assert.equal(played.tokens.length, 3);
    const shut = client({ bearer: () => Promise.reject(new Error("the vault is shut")) });
    await assert.rejects(shut.decide(approve("apr_1")), (error: CredentialsError) => {
      return error instanceof CredentialsError && String(error.cause).includes("vault");
    });
  });

  test("what can't work is refused before anything is sent", () => {
    for (const connect of [connectNode, connectWeb]) {
      for (const url of ["", "localhost:50051", "unix:/tmp/x", "http://", "http://a/b", "http://a:x"]) {
        assert.throws(() => connect(url), ConfigError, url);
      }
      for (const near of ["http://127.0.0.1:1", "http://127.9.9.9:1", "http://localhost:1", "http://[::1]:1"]) {
        connect(near, { credentials: { bearer: "planted" } }).close();
      }
      for (const far of ["http://10.0.0.1:1", "http://localhost.example.com:1", "http://[2001:db8::1]:1", "http://x"]) {
        assert.throws(
          () => connect(far, { credentials: { bearer: "planted" } }),
          (error: Error) => error.message.includes("https://") && !error.message.includes("planted"),
          far,
        );
      }
      assert.throws(() => connect("http://localhost", { credentials: { actor: "user:ana\n" } }), ConfigError);
      assert.throws(() => connect("http://localhost", { credentials: { actor: "user:ana", groups: ["a,b"] } }), ConfigError);
    }
    assert.throws(() => connectNode("http://localhost:1", { tls: {} }), ConfigError);
  });
});
