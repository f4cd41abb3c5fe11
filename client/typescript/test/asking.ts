import { create } from "@bufbuild/protobuf";
import { WorkflowSpecSchema } from "../src/gen/approve/v1/workflows_pb.js";
import type { Approval, Client, ClientOptions } from "../src/index.js";

/** Settings of a client that is ana. */
export function as(actor = "user:ana", options: ClientOptions = {}): ClientOptions {
  return { credentials: { actor }, ...options };
}

/** Provisions a workflow that asks. */
export async function provision(client: Client): Promise<void> {
  const spec = create(WorkflowSpecSchema, {
    name: "ask",
    stateMachine: { timeout: { seconds: 3600n }, heartbeat: { seconds: 600n } },
    role: {},
  });
  for await (const _ of client.workflows.applyWorkflow({ spec }, { headers: { "approve-actor": "user:ana" } })) {
    // To its end.
  }
}

/** Starts an execution, and waits until it asks. */
export async function ask(client: Client, inputJson = '{"amount":1200.50}'): Promise<Approval> {
  const { executionArn } = await client.startExecution({ workflow: "ask", inputJson });
  for await (const event of client.watch({ executionArn })) {
    if (event.type === "upserted") {
      return event.approval;
    }
  }
  throw new Error("the watch ended");
}
