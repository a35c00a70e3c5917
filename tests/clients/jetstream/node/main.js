// One purpose of JetStream with nats.js, as the ServiceAccount of a recipe; says what worked.
import assert from "node:assert";
import { readFileSync } from "node:fs";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { connect, createInbox, tokenAuthenticator } from "@nats-io/transport-node";

const ME = "node";
const PAYLOAD = new Uint8Array(1_200_000); // So much that a server wants its flow control answered.

const nc = await connect({
  servers: process.env.NATS_URL,
  authenticator: tokenAuthenticator(readFileSync(process.env.TOKEN_FILE, "utf8").trim()),
  inboxPrefix: process.env.INBOX_PREFIX,
});
(async () => {
  for await (const { type, error } of nc.status()) if (type === "error") console.log("complaint:", error.message);
})();

async function tell(what) {
  await nc.flush();
  console.log("ok", what);
}

async function acknowledged(consumer, count) {
  for await (const message of await consumer.fetch({ max_messages: count, expires: 5000 })) {
    assert(await message.ackAck());
    count--;
  }
  assert.equal(count, 0);
}

async function pull() {
  await (await jetstreamManager(nc, { checkAPI: false })).consumers.add("ORDERS", {
    durable_name: ME,
    ack_policy: AckPolicy.Explicit,
  });
  await acknowledged(await jetstream(nc).consumers.get("ORDERS", ME), 3);
  await tell("pull");
  await acknowledged(await jetstream(nc).consumers.get("ORDERS", `of-${ME}`), 1);
  await tell("bind");
}

async function ordered() {
  const messages = await (await jetstream(nc).consumers.get("ORDERS")).consume();
  let count = 0;
  for await (const _ of messages) if (++count === 3) break;
  await tell("ordered");
}

async function push() {
  const manager = await jetstreamManager(nc, { checkAPI: false });
  for (const durable of [`${ME}-push`, undefined]) {
    const { name } = await manager.consumers.add("ORDERS", {
      durable_name: durable,
      deliver_subject: createInbox(process.env.INBOX_PREFIX),
      ack_policy: AckPolicy.Explicit,
      flow_control: true,
      idle_heartbeat: 5_000_000_000,
    });
    let count = 0;
    for await (const message of await (await jetstream(nc).consumers.getPushConsumer("ORDERS", name)).consume()) {
      assert(await message.ackAck());
      if (++count === 3) break;
    }
    await tell(durable ? "push durable" : "push");
  }
}

async function read() {
  const bucket = await new Kvm(nc).open("CFG");
  const entry = await bucket.get("shared");
  assert.equal((await bucket.get("shared", { revision: entry.revision })).string(), "2");
  await tell("get");
  for await (const update of await bucket.watch({ key: "shared" })) {
    assert.equal(update.string(), "2");
    break;
  }
  await tell("watch");
  const keys = [];
  for await (const key of await bucket.keys()) keys.push(key);
  assert(keys.includes("shared"));
  await tell("keys");
  const history = [];
  for await (const one of await bucket.history({ key: "shared" })) history.push(one.string());
  assert.deepEqual(history, ["1", "2"]);
  await tell("history");
  await bucket.status();
  await tell("status");
  return bucket;
}

async function write() {
  const bucket = await read();
  await bucket.put(ME, "1");
  await tell("put");
  await assert.rejects(bucket.create(ME, "2"));
  const revision = await bucket.create(`${ME}.new`, "1");
  await tell("create");
  await bucket.update(`${ME}.new`, "2", revision);
  await tell("update");
  await bucket.delete(ME);
  await tell("delete");
  await bucket.purge(`${ME}.new`);
  await tell("purge");
  await bucket.purgeDeletes(1);
  await tell("purge deletes");
}

async function objects() {
  const files = await new Objm(nc).open("FILES");
  await files.putBlob({ name: ME }, PAYLOAD);
  await tell("put");
  await files.putBlob({ name: ME }, PAYLOAD);
  await tell("overwrite");
  assert.equal((await files.getBlob(ME)).length, PAYLOAD.length);
  await tell("get");
  assert((await files.list()).some(({ name }) => name === ME));
  await tell("list");
  await files.delete(ME);
  await tell("delete");
}

const purposes = {
  packer: pull, replayer: ordered, listener: push, reader: read, writer: write, archivist: objects,
};
try {
  await purposes[process.env.PURPOSE]();
  console.log("done");
} catch (error) {
  console.log("failed:", error);
}
await nc.close();
process.exit();
