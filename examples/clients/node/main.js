// A pod that counts aloud and answers an echo, whatever becomes of its sessions.
//
// Environment: NAMESPACE, SERVICE_ACCOUNT, NATS_URL, TOKEN_FILE.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, tokenAuthenticator } from "@nats-io/transport-node";

const { NAMESPACE, SERVICE_ACCOUNT } = process.env;
const NATS_URL = process.env.NATS_URL ?? "nats://nats.nats-system.svc.cluster.local:4222";
const TOKEN_FILE = process.env.TOKEN_FILE ?? "/var/run/secrets/nats/token";
const NUMBERS = `${NAMESPACE}.numbers.${SERVICE_ACCOUNT}`;
const ECHO = `${NAMESPACE}.echo.${SERVICE_ACCOUNT}`;

// Asked at each connect. A file that cannot be read is a login that is refused, and tried again.
function token() {
  try {
    return readFileSync(TOKEN_FILE, "utf8").trim();
  } catch {
    return "";
  }
}

const nc = await connect({
  servers: NATS_URL,
  name: `${NAMESPACE}/${SERVICE_ACCOUNT}`,
  authenticator: tokenAuthenticator(token),
  inboxPrefix: `_INBOX_SA.${NAMESPACE}.${SERVICE_ACCOUNT.replaceAll(".", "_")}`,
  // Never give up: not at the first connect, not after many, not when refused twice in a row.
  waitOnFirstConnect: true,
  maxReconnectAttempts: -1,
  ignoreAuthErrorAbort: true,
  reconnectTimeWait: 250,
  reconnectJitter: 750,
});

// What is published without a session is lost: nats.js hands it to whatever it connects to, refused or not.
let connected = true;
(async () => {
  for await (const { type, error } of nc.status()) {
    if (type === "disconnect") connected = false;
    if (type === "reconnect") connected = true;
    if (type !== "ping") console.log(type, error?.message ?? "");
  }
})();

nc.subscribe(ECHO, { callback: (error, message) => error || message.respond(message.data) });

let stopping = false;
process.on("SIGTERM", () => (stopping = true));

let number = 0;
while (!stopping) {
  if (connected) nc.publish(NUMBERS, String(++number));
  if (connected && number % 10 === 0) {
    try {
      console.log("echo", (await nc.request(ECHO, String(number), { timeout: 1000 })).string());
    } catch (error) {
      console.log("no echo:", error.message);
    }
  }
  await sleep(100);
}
await Promise.race([nc.drain(), sleep(5000)]); // Answers what has arrived, sends what was published, closes.
console.log("bye", number);
process.exit();
