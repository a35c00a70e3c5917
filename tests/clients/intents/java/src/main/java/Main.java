// Does with jnats, for many ServiceAccounts at once, what their intents are for; says of each step whether it worked.
import io.nats.client.*;
import io.nats.client.api.*;
import java.io.ByteArrayOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.*;

final class Main {
    static final int LARGE = 1_200_000; // So much that a server wants its flow control answered.
    static final Duration SOON = Duration.ofSeconds(2);

    interface Step {
        void act() throws Exception;
    }

    interface OnBucket {
        void act(KeyValue bucket) throws Exception;
    }

    final String name;
    final String purpose;
    final String token;
    Connection nc;
    JetStream js;
    JetStreamManagement jsm;

    Main(String[] fields) {
        name = fields[0];
        purpose = fields[1];
        token = fields[2];
    }

    public static void main(String[] arguments) throws Exception {
        // Not all at once: each may read what is large.
        ExecutorService turns = Executors.newFixedThreadPool(16);
        for (String line : Files.readAllLines(Path.of(System.getenv("JOBS_FILE")))) {
            turns.submit(() -> new Main(line.split("\t")).run());
        }
        turns.shutdown();
        turns.awaitTermination(2, TimeUnit.MINUTES);
        System.out.println("\tdone\t");
        System.exit(0);
    }

    void say(String outcome, String what) {
        System.out.println(name + "\t" + outcome + "\t" + what.replace('\n', ' '));
    }

    Void run() throws Exception {
        Options options = Options.builder().server(System.getenv("NATS_URL")).token(token.toCharArray())
            .inboxPrefix("_INBOX_SA.shop." + name).connectionTimeout(Duration.ofSeconds(10)).noReconnect()
            .errorListener(new ErrorListener() {
                @Override
                public void errorOccurred(Connection ours, String error) {
                    say("complaint", error);
                }
            }).build();
        ExecutorService steps = Executors.newCachedThreadPool();
        try {
            nc = Nats.connect(options);
            JetStreamOptions soon = JetStreamOptions.builder().requestTimeout(SOON).build();
            js = nc.jetStream(soon);
            jsm = nc.jetStreamManagement(soon);
            for (Map.Entry<String, Step> step : purposes().get(purpose).entrySet()) {
                try {
                    steps.submit(() -> {
                        step.getValue().act();
                        nc.flush(SOON);
                        return null;
                    }).get(8, TimeUnit.SECONDS);
                    say("ok", step.getKey());
                } catch (ExecutionException error) {
                    say("failed", step.getKey() + ": " + error.getCause());
                } catch (TimeoutException late) {
                    say("failed", step.getKey() + ": too late");
                }
            }
            nc.close();
        } catch (Exception error) {
            say("failed", error.toString());
        }
        return null;
    }

    Map<String, Map<String, Step>> purposes() {
        Map<String, Step> reads = new Steps()
                .then("object info", () -> want(files().getInfo("shared").getSize() == LARGE))
                .then("object get", () -> {
                ByteArrayOutputStream back = new ByteArrayOutputStream();
                files().get("shared", back);
                want(back.size() == LARGE);
            })
                .then("object list", () -> want(!files().getList().isEmpty()))
                .then("object status", () -> files().getStatus());
        Map<String, Step> writes = new LinkedHashMap<>(reads);
        writes.putAll(new Steps()
                .then("object put", () -> files().put(name, new byte[10]))
                .then("object overwrite", () -> files().put(name, new byte[10]))
                .then("object delete", () -> files().delete(name)));
        return Map.ofEntries(
            Map.entry("consume", new Steps()
                .then("account", () -> jsm.getAccountStatistics())
                .then("pull durable", this::pullDurable)
                .then("pull ephemeral", () -> pulled(js.subscribe("orders.*", PullSubscribeOptions.builder().stream("ORDERS").build()), 3))
                .then("pull found", this::pullFound)
                .then("several filters", this::severalFilters)
                .then("push durable", () -> push(name + "-push"))
                .then("push ephemeral", () -> push(null))
                .then("ordered", this::ordered)
                .then("ordered push", this::orderedPush)
                .then("delete consumer", () -> jsm.deleteConsumer("ORDERS", name))),
            Map.entry("bind", new Steps()
                .then("bind", () -> pulled(js.subscribe(null, PullSubscribeOptions.bind("ORDERS", "of-" + name)), 1))
                .then("info", () -> jsm.getConsumerInfo("ORDERS", "of-" + name))),
            Map.entry("bind-push", new Steps()
                .then("bound", () -> {
                JetStreamSubscription pushed = js.subscribe(null, PushSubscribeOptions.bind("LARGE", "of-" + name));
                for (int i = 0; i < 3; i++) pushed.nextMessage(SOON).ackSync(SOON);
            })),
            Map.entry("filtered", new Steps()
                .then("filtered", () -> {
                jsm.addOrUpdateConsumer("ORDERS", durable("of-" + name).filterSubject("orders.1").build());
                pulled(js.subscribe(null, PullSubscribeOptions.bind("ORDERS", "of-" + name)), 1);
            })),
            Map.entry("publish", new Steps()
                .then("publish", () -> js.publish("events.1", new byte[1]))),
            Map.entry("kv-read", new Steps()
                .then("get", each(bucket -> want(bucket.get("shared").getValueAsString().equals("2"))))
                .then("get revision", each(bucket -> want(bucket.get("shared", 1).getValueAsString().equals("1"))))
                .then("status", each(KeyValue::getStatus))),
            Map.entry("kv-write", new Steps()
                .then("get", each(bucket -> bucket.get("shared")))
                .then("put", each(bucket -> bucket.put(name, "1")))
                .then("create", each(bucket -> {
                    bucket.create(name + ".new", new byte[1]);
                    try {
                        bucket.create(name + ".new", new byte[1]);
                    } catch (JetStreamApiException there) {
                        return;
                    }
                    want(false);
                }))
                .then("create again", each(bucket -> {
                    bucket.create(name + ".again", new byte[1]);
                    bucket.delete(name + ".again");
                    bucket.create(name + ".again", new byte[1]);
                }))
                .then("update", each(bucket -> bucket.update(name + ".up", "2", bucket.put(name + ".up", "1"))))
                .then("delete", each(bucket -> bucket.delete(name)))
                .then("purge", each(bucket -> bucket.purge(name)))),
            Map.entry("kv-watch", new Steps()
                .then("watch", each(bucket -> watched(bucket, "shared", 1)))
                .then("watch much", () -> watched(nc.keyValue("BIG", soon()), ">", 4))
                .then("keys", each(bucket -> want(bucket.keys().contains("shared"))))
                .then("history", each(bucket -> want(bucket.history("shared").size() == 2)))),
            Map.entry("object-read", reads),
            Map.entry("object-write", writes),
            Map.entry("stream-info", new Steps()
                .then("stream info", () -> jsm.getStreamInfo("ORDERS"))
                .then("consumers", () -> jsm.getConsumers("ORDERS"))
                .then("consumer names", () -> jsm.getConsumerNames("ORDERS"))
                .then("consumer info", () -> jsm.getConsumerInfo("ORDERS", "of-all"))),
            Map.entry("lookup", new Steps()
                .then("account", () -> jsm.getAccountStatistics())
                .then("by subject", () -> want(jsm.getStreamNames("orders.1").equals(List.of("ORDERS"))))));
    }

    static final class Steps extends LinkedHashMap<String, Step> {
        Steps then(String what, Step step) {
            put(what, step);
            return this;
        }
    }

    ConsumerConfiguration.Builder durable(String called) {
        return ConsumerConfiguration.builder().durable(called).ackPolicy(AckPolicy.Explicit);
    }

    void pulled(JetStreamSubscription orders, int count) throws Exception {
        List<Message> messages = orders.fetch(count, SOON);
        want(messages.size() == count);
        for (Message message : messages) message.ackSync(SOON);
    }

    void pullDurable() throws Exception {
        StreamContext stream = nc.getStreamContext("ORDERS", JetStreamOptions.builder().requestTimeout(SOON).build());
        stream.createOrUpdateConsumer(durable(name).build());
        ConsumerContext orders = stream.getConsumerContext(name);
        for (int i = 0; i < 3; i++) orders.next(SOON).ackSync(SOON);
    }

    void pullFound() throws Exception {
        pulled(js.subscribe("orders.*", PullSubscribeOptions.builder().durable(name + "-found").build()), 3);
    }

    void severalFilters() throws Exception {
        jsm.addOrUpdateConsumer("ORDERS", durable(name + "-two").filterSubjects("orders.1", "orders.2").build());
        pulled(js.subscribe(null, PullSubscribeOptions.bind("ORDERS", name + "-two")), 2);
    }

    void push(String durable) throws Exception {
        ConsumerConfiguration config = ConsumerConfiguration.builder().durable(durable).flowControl(1000).build();
        PushSubscribeOptions options = PushSubscribeOptions.builder().stream("ORDERS").configuration(config).build();
        JetStreamSubscription orders = js.subscribe("orders.*", options);
        for (int i = 0; i < 3; i++) orders.nextMessage(SOON).ackSync(SOON);
        orders.unsubscribe();
    }

    void ordered() throws Exception {
        StreamContext stream = nc.getStreamContext("LARGE", JetStreamOptions.builder().requestTimeout(SOON).build());
        OrderedConsumerContext large = stream.createOrderedConsumer(new OrderedConsumerConfiguration().filterSubject("large"));
        for (int i = 0; i < 3; i++) want(large.next(SOON) != null);
    }

    void orderedPush() throws Exception {
        JetStreamSubscription large =
            js.subscribe("large", PushSubscribeOptions.builder().stream("LARGE").ordered(true).build());
        for (int i = 0; i < 3; i++) want(large.nextMessage(SOON) != null);
        large.unsubscribe();
    }

    static KeyValueOptions soon() {
        return KeyValueOptions.builder().jetStreamOptions(JetStreamOptions.builder().requestTimeout(SOON).build()).build();
    }

    Step each(OnBucket action) {
        return () -> {
            for (String bucket : List.of("CFG", "OLD")) action.act(nc.keyValue(bucket, soon()));
        };
    }

    void watched(KeyValue bucket, String key, int count) throws Exception {
        CountDownLatch seen = new CountDownLatch(count);
        var watch = bucket.watch(key, new KeyValueWatcher() {
            @Override
            public void watch(KeyValueEntry entry) {
                seen.countDown();
            }

            @Override
            public void endOfData() {
            }
        });
        want(seen.await(3, TimeUnit.SECONDS));
        watch.unsubscribe();
    }

    ObjectStore files() throws Exception {
        JetStreamOptions options = JetStreamOptions.builder().requestTimeout(SOON).build();
        return nc.objectStore("FILES", ObjectStoreOptions.builder().jetStreamOptions(options).build());
    }

    static void want(boolean held) {
        if (!held) throw new AssertionError("not as expected");
    }
}
