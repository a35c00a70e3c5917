// Does with nats.js, for many ServiceAccounts at once, what their intents are for; says of each step whether it worked.
import assert from "node:assert";
import { readFileSync } from "node:fs";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { connect, createInbox, tokenAuthenticator } from "@nats-io/transport-node";

const LARGE = 1_200_000; // So much that a server wants its flow control answered.

const manager = (job) => jetstreamManager(job.nc, { checkAPI: false, timeout: 2000 });
const buckets = (job) => Promise.all(["CFG", "OLD"].map((name) => new Kvm(job.nc).open(name, { timeout: 2000 })));
const files = (job) => new Objm(job.nc).open("FILES", { timeout: 2000 });
const each = (act) => async (job) => {
  for (const bucket of await buckets(job)) await act(bucket, job);
};

async function acknowledged(consumer, count) {
  for await (const message of await consumer.fetch({ max_messages: count, expires: 2000 })) {
    assert(await message.ackAck({ timeout: 2000 }));
    count--;
  }
  assert.equal(count, 0);
}

async function pull(job, config) {
  const { name } = await (await manager(job)).consumers.add("ORDERS", { ack_policy: AckPolicy.Explicit, ...config });
  await acknowledged(await jetstream(job.nc).consumers.get("ORDERS", name), config.filter_subjects?.length ?? 3);
}

async function push(job, durable_name) {
  const { name } = await (await manager(job)).consumers.add("ORDERS", {
    durable_name,
    deliver_subject: createInbox(job.prefix),
    ack_policy: AckPolicy.Explicit,
    flow_control: true,
    idle_heartbeat: 1_000_000_000,
  });
  await pushed(job, "ORDERS", name, (message) => message.ackAck({ timeout: 2000 }));
}

async function pushed(job, stream, name, act) {
  let count = 0;
  for await (const message of await (await jetstream(job.nc).consumers.getPushConsumer(stream, name)).consume()) {
    await act(message);
    if (++count === 3) break;
  }
}

async function several(iterator, count) {
  for await (const _ of iterator) if (--count === 0) break;
}

const READS = {
  "object info": async (job) => assert.equal((await (await files(job)).info("shared")).size, LARGE),
  "object get": async (job) => assert.equal((await (await files(job)).getBlob("shared")).length, LARGE),
  "object list": async (job) => assert((await (await files(job)).list()).some(({ name }) => name === "shared")),
  "object status": async (job) => (await files(job)).status(),
};
const objectPut = async (job) => (await files(job)).putBlob({ name: job.name }, new Uint8Array(10));

// As a program begins that asks for a manager: the library looks whether there is JetStream.
const checked = (job) => jetstreamManager(job.nc, { timeout: 2000 });

const purposes = {
  consume: {
    account: async (job) => (await jetstreamManager(job.nc, { timeout: 2000 })).getAccountInfo(),
    "pull durable": (job) => pull(job, { durable_name: job.name }),
    "pull ephemeral": (job) => pull(job, {}),
    "pull filtered": (job) => pull(job, { durable_name: `${job.name}-two`, filter_subjects: ["orders.1", "orders.2"] }),
    "push durable": (job) => push(job, `${job.name}-push`),
    "push ephemeral": (job) => push(job),
    ordered: async (job) => several(await (await jetstream(job.nc).consumers.get("LARGE")).consume(), 3),
    "ordered push": async (job) => several(await (await jetstream(job.nc).consumers.getPushConsumer("LARGE")).consume(), 3),
    "by subject": async (job) => assert.equal(await (await manager(job)).streams.find("orders.1"), "ORDERS"),
    "delete consumer": async (job) => (await manager(job)).consumers.delete("ORDERS", job.name),
  },
  bind: {
    bind: async (job) => acknowledged(await jetstream(job.nc).consumers.get("ORDERS", `of-${job.name}`), 1),
    info: async (job) => (await manager(job)).consumers.info("ORDERS", `of-${job.name}`),
  },
  "bind-push": { bound: (job) => pushed(job, "LARGE", `of-${job.name}`, () => {}) },
  filtered: {
    filtered: async (job) => {
      const config = { durable_name: `of-${job.name}`, filter_subject: "orders.1", ack_policy: AckPolicy.Explicit };
      await (await manager(job)).consumers.add("ORDERS", config);
      await acknowledged(await jetstream(job.nc).consumers.get("ORDERS", `of-${job.name}`), 1);
    },
  },
  publish: { publish: (job) => jetstream(job.nc, { timeout: 2000 }).publish("events.1", "an event") },
  "kv-read": {
    get: each(async (bucket) => assert.equal((await bucket.get("shared")).string(), "2")),
    "get revision": each(async (bucket) => assert.equal((await bucket.get("shared", { revision: 1 })).string(), "1")),
    status: each((bucket) => bucket.status()),
    checked,
  },
  "kv-write": {
    checked,
    get: each(async (bucket) => assert.equal((await bucket.get("shared")).string(), "2")),
    put: each((bucket, job) => bucket.put(job.name, "1")),
    create: each(async (bucket, job) => {
      await bucket.create(`${job.name}.new`, "1");
      await assert.rejects(bucket.create(`${job.name}.new`, "2"));
    }),
    "create again": each(async (bucket, job) => {
      await bucket.create(`${job.name}.again`, "1");
      await bucket.delete(`${job.name}.again`);
      await bucket.create(`${job.name}.again`, "2");
    }),
    update: each(async (bucket, job) => bucket.update(`${job.name}.up`, "2", await bucket.put(`${job.name}.up`, "1"))),
    delete: each((bucket, job) => bucket.delete(job.name)),
    purge: each((bucket, job) => bucket.purge(job.name)),
  },
  "kv-watch": {
    checked,
    watch: each(async (bucket) => several(await bucket.watch({ key: "shared" }), 1)),
    "watch much": async (job) => several(await (await new Kvm(job.nc).open("BIG")).watch(), 4),
    keys: each(async (bucket) => {
      const found = [];
      for await (const key of await bucket.keys()) found.push(key);
      assert(found.includes("shared"));
    }),
    history: each(async (bucket) => {
      const found = [];
      for await (const one of await bucket.history({ key: "shared" })) found.push(one.string());
      assert.deepEqual(found, ["1", "2"]);
    }),
  },
  "object-read": READS,
  "object-write": {
    ...READS,
    "object put": objectPut,
    "object overwrite": objectPut,
    "object delete": async (job) => (await files(job)).delete(job.name),
  },
  "stream-info": {
    "stream info": async (job) => (await manager(job)).streams.info("ORDERS"),
    consumers: async (job) => (await manager(job)).consumers.list("ORDERS").next(),
    "consumer info": async (job) => (await manager(job)).consumers.info("ORDERS", "of-all"),
  },
  lookup: {
    account: async (job) => (await manager(job)).getAccountInfo(),
    "by subject": async (job) => assert.equal(await (await manager(job)).streams.find("orders.1"), "ORDERS"),
  },
};

const line = (job, outcome, what) => console.log(`${job.name}\t${outcome}\t${what.replaceAll("\n", " ")}`);

async function run(job) {
  job.prefix = `_INBOX_SA.shop.${job.name}`;
  const authenticator = tokenAuthenticator(job.token);
  job.nc = await connect({ servers: process.env.NATS_URL, authenticator, inboxPrefix: job.prefix, timeout: 10_000 });
  (async () => {
    for await (const { type, error } of job.nc.status()) if (type === "error") line(job, "complaint", error.message);
  })();
  for (const [what, act] of Object.entries(purposes[job.purpose])) {
    const late = new Promise((_, reject) => setTimeout(reject, 6000, new Error("too late")).unref());
    try {
      await Promise.race([act(job), late]);
      await job.nc.flush();
      line(job, "ok", what);
    } catch (error) {
      line(job, "failed", `${what}: ${error?.stack ?? error}`.slice(0, 200));
    }
  }
  await job.nc.close();
}

const jobs = readFileSync(process.env.JOBS_FILE, "utf8").trim().split("\n").map((text) => {
  const [name, purpose, token] = text.split("\t");
  return { name, purpose, token };
});
process.on("unhandledRejection", (error) => console.log(`unhandled ${error}`));
// Not all at once: each may read what is large.
await Promise.all(Array.from({ length: 16 }, async () => {
  for (let job = jobs.shift(); job; job = jobs.shift()) await run(job);
}));
console.log("\tdone\t");
process.exit();
