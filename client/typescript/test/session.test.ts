import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { Backoff } from "../src/backoff.js";
import { ConfigError, CredentialsError, DeadlinePassed, Reason, Refused, type WatchEvent } from "../src/index.js";
import { StreamPendingApprovalsResponseSchema } from "../src/gen/approve/v1/approvals_pb.js";
import { ended, type Next, Session } from "../src/session.js";

const session = (token = "", renewable = false) => new Session(token, renewable, new Backoff(100, 10_000));

const upserted = (id: string, resumeToken: string) =>
  create(StreamPendingApprovalsResponseSchema, { change: { case: "upserted", value: { id } }, resumeToken });
const removed = (id: string, resumeToken: string) =>
  create(StreamPendingApprovalsResponseSchema, { change: { case: "removed", value: { id } }, resumeToken });
const bookmark = (synced: boolean, resumeToken: string) =>
  create(StreamPendingApprovalsResponseSchema, {
    change: { case: "bookmark", value: { synced, revision: 5n } },
    resumeToken,
  });

function name(event: WatchEvent): string {
  switch (event.type) {
    case "upserted":
      return `+${event.approval.id}`;
    case "removed":
      return `-${event.id}`;
    case "synced":
      return `synced ${event.revision}`;
    default:
      return event.type;
  }
}

const tell = (session: Session, message: ReturnType<typeof upserted>) => session.message(message).map(name);
const refused = (code: Code, reason: string) => new Refused(code, "refused", { reason });

function waits(next: Next): number {
  assert.equal(next.go, "wait");
  return next.go === "wait" ? next.event.retryInMs : 0;
}

suite("a watch's session", () => {
  test("changes are told and the token kept", () => {
    const one = session();
    assert.deepEqual(tell(one, upserted("a", "")), ["+a"]);
    assert.equal(one.resumeToken, "");
    assert.deepEqual(tell(one, bookmark(true, "t5")), ["synced 5"]);
    assert.deepEqual(tell(one, removed("a", "t7")), ["-a"]);
    assert.deepEqual(tell(one, bookmark(false, "t9")), []);
    assert.equal(one.resumeToken, "t9");
    assert.deepEqual(tell(one, create(StreamPendingApprovalsResponseSchema)), [], "of a newer server");
  });

  test("a lost live stream resumes without a reset", () => {
    const one = session();
    tell(one, upserted("a", ""));
    tell(one, bookmark(true, "t5"));
    waits(one.lost(ended(), 0.5));
    assert.equal(one.resumeToken, "t5");
    assert.deepEqual(tell(one, upserted("b", "t6")), ["+b"]);
  });

  test("a lost snapshot starts over with one reset", () => {
    const one = session();
    tell(one, upserted("a", ""));
    waits(one.lost(ended(), 0.5));
    waits(one.lost(ended(), 0.5));
    assert.deepEqual(tell(one, upserted("a", "")), ["reset", "+a"]);
    assert.deepEqual(tell(one, bookmark(true, "t5")), ["synced 5"]);
  });

  test("where nothing was told there is nothing to reset", () => {
    const one = session();
    waits(one.lost(ended(), 0.5));
    assert.deepEqual(tell(one, upserted("a", "")), ["+a"]);
  });

  test("a compacted token is dropped and the snapshot follows a reset", () => {
    for (const given of ["", "t1"]) {
      const one = session(given);
      if (given === "") {
        tell(one, bookmark(true, "t1"));
      }
      assert.equal(one.lost(refused(Code.OutOfRange, Reason.REVISION_COMPACTED), 0.5).go, "reopen");
      assert.equal(one.resumeToken, "");
      waits(one.lost(ended(), 0.5));
      assert.deepEqual(tell(one, bookmark(true, "t5")), ["reset", "synced 5"]);
    }
  });

  test("an invalid token is the caller's fault only if the caller brought it", () => {
    const invalid = refused(Code.InvalidArgument, Reason.RESUME_TOKEN_INVALID);
    assert.equal(session("mine").lost(invalid, 0.5).go, "fail");
    const one = session("mine");
    tell(one, bookmark(true, "theirs"));
    assert.equal(one.lost(invalid, 0.5).go, "reopen");
    assert.equal(one.lost(invalid, 0.5).go, "fail", "no loop without a token");
  });

  test("what trying again would not mend ends the watch", () => {
    for (const error of [
      refused(Code.InvalidArgument, "INVALID_FIELD"),
      refused(Code.Unauthenticated, "UNAUTHENTICATED"),
      refused(Code.PermissionDenied, "SOMETHING_NEW"),
      refused(Code.Unimplemented, "UNIMPLEMENTED"),
      refused(Code.OutOfRange, "SOMETHING_ELSE"),
      new ConfigError("no"),
    ]) {
      assert.equal(session("t1").lost(error, 0.5).go, "fail", String(error));
    }
    for (const code of [Code.Unavailable, Code.Internal, Code.Unknown, Code.ResourceExhausted]) {
      waits(session("t1").lost(refused(code, "SHUTTING_DOWN"), 0.5));
    }
    waits(session("t1").lost(new CredentialsError("away"), 0.5));
    waits(session("t1").lost(new DeadlinePassed(3000), 0.5));
  });

  test("a renewable token is asked for anew once after a message", () => {
    const expired = refused(Code.Unauthenticated, "UNAUTHENTICATED");
    const one = session("t1", true);
    tell(one, bookmark(false, "t2"));
    waits(one.lost(expired, 0.5));
    assert.equal(one.lost(expired, 0.5).go, "fail");
  });

  test("waits grow and any message takes them back", () => {
    const one = session();
    assert.deepEqual(
      [1, 2, 3, 4].map(() => waits(one.lost(ended(), 1))),
      [200, 400, 800, 1600],
    );
    tell(one, bookmark(false, ""));
    assert.equal(waits(one.lost(ended(), 1)), 200);
  });
});

suite("the back-off", () => {
  test("every delay is within bounds", () => {
    let seed = 7;
    const random = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
    for (let round = 0; round < 500; round++) {
      const [min, max] = [random() * 10_000, random() * 100_000];
      const backoff = new Backoff(min, max);
      for (let failure = 0; failure < random() * 80; failure++) {
        const delay = backoff.next(random(), random() < 0.5 ? undefined : random() * 1_000_000);
        assert.ok(Math.min(min, max) <= delay && delay <= max, `${min} ${delay} ${max}`);
      }
    }
  });

  test("the server's wish is honoured", () => {
    assert.equal(new Backoff(100, 30_000).next(0.5, 7_000), 7_000);
    assert.equal(new Backoff(100, 5_000).next(0.5, 7_000), 5_000);
  });
});
