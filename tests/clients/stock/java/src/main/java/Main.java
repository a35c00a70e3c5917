// A connection of jnats as it comes: it listens, and says when what happened. Its JetStream is pulled, and pushed.
import io.nats.client.*;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

final class Main {
    static void say(String what) {
        System.out.println(String.format(Locale.ROOT, "%.3f 0 %s", System.currentTimeMillis() / 1000.0, what));
    }

    static char[] token() {
        try {
            return Files.readString(Path.of(System.getenv("TOKEN_FILE"))).trim().toCharArray();
        } catch (java.io.IOException error) {
            return new char[0];
        }
    }

    static MessageHandler saying(String what) {
        return message -> {
            if (message.isJetStream()) message.ack();
            say(what + " " + new String(message.getData()));
        };
    }

    public static void main(String[] arguments) throws Exception {
        Options options = Options.builder().server(System.getenv("NATS_URL")).tokenSupplier(Main::token)
            .connectionListener((ours, event) -> {
                switch (event) {
                    case DISCONNECTED -> say("disconnected");
                    case RECONNECTED -> say("reconnected");
                    case CLOSED -> say("closed");
                    default -> { }
                }
            })
            .errorListener(new ErrorListener() {
                @Override
                public void errorOccurred(Connection ours, String error) {
                    say("error " + error);
                }

                @Override
                public void heartbeatAlarm(Connection ours, JetStreamSubscription of, long stream, long consumer) {
                    say("error heartbeat alarm");
                }
            }).build();
        Connection nc = Nats.connect(options);
        nc.createDispatcher(saying("core")).subscribe("shop.core");
        nc.flush(null);
        say("connected");
        String me = System.getenv("SERVICE_ACCOUNT");
        nc.jetStream().subscribe(null, nc.createDispatcher(), saying("push"), false, PushSubscribeOptions.bind("STOCK", "push-" + me));
        nc.getConsumerContext("STOCK", "of-" + me).consume(saying("js"));
        Thread.currentThread().join();
    }
}
