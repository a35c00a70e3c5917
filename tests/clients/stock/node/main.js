// A connection of nats.js as it comes: it listens, and says when what happened.
import { readFileSync } from "node:fs";
import { jetstream } from "@nats-io/jetstream";
import { connect, tokenAuthenticator } from "@nats-io/transport-node";

const { NATS_URL, SERVICE_ACCOUNT, TOKEN_FILE } = process.env;
const say = (...what) => console.log((Date.now() / 1000).toFixed(3), 0, ...what);

const nc = await connect({
  servers: NATS_URL,
  authenticator: tokenAuthenticator(() => readFileSync(TOKEN_FILE, "utf8").trim()),
});
(async () => {
  for await (const { type, error } of nc.status()) {
    if (type === "disconnect") say("disconnected");
    else if (type === "reconnect") say("reconnected");
    else if (type === "error") say("error", error?.message);
  }
})();
nc.closed().then((error) => say("closed", error?.message ?? ""));
nc.subscribe("shop.core", { callback: (error, message) => error || say("core", message.string()) });
await nc.flush();
say("connected");
const orders = await jetstream(nc).consumers.get("STOCK", `of-${SERVICE_ACCOUNT}`);
await orders.consume({
  callback: (message) => {
    message.ack();
    say("js", message.string());
  },
});
setInterval(() => {}, 1000); // It shall be here to say that it is closed.
