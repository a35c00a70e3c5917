// A pod that counts aloud and answers an echo, whatever becomes of its sessions.
//
// Environment: NAMESPACE, SERVICE_ACCOUNT, NATS_URL, TOKEN_FILE.
import io.nats.client.Connection;
import io.nats.client.Connection.Status;
import io.nats.client.ErrorListener;
import io.nats.client.Message;
import io.nats.client.Nats;
import io.nats.client.Options;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

public class Main {
    static final String NAMESPACE = System.getenv("NAMESPACE");
    static final String SERVICE_ACCOUNT = System.getenv("SERVICE_ACCOUNT");
    static final String NATS_URL = or("NATS_URL", "nats://nats.nats-system.svc.cluster.local:4222");
    static final Path TOKEN_FILE = Path.of(or("TOKEN_FILE", "/var/run/secrets/nats/token"));
    static final String NUMBERS = NAMESPACE + ".numbers." + SERVICE_ACCOUNT;
    static final String ECHO = NAMESPACE + ".echo." + SERVICE_ACCOUNT;

    static volatile boolean stopping;
    static int number = 1;

    // Asked at each connect. A file that cannot be read is a login that is refused, and tried again.
    static char[] token() {
        try {
            return Files.readString(TOKEN_FILE).trim().toCharArray();
        } catch (IOException error) {
            return new char[0];
        }
    }

    public static void main(String[] arguments) throws Exception {
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping = true;
            try {
                main.join();
            } catch (InterruptedException ignored) {
            }
        }));

        Options options = Options.builder()
            .server(NATS_URL)
            .connectionName(NAMESPACE + "/" + SERVICE_ACCOUNT)
            .tokenSupplier(Main::token)
            .inboxPrefix("_INBOX_SA." + NAMESPACE + "." + SERVICE_ACCOUNT.replace('.', '_'))
            .noReconnect()
            .errorListener(new ErrorListener() {
                @Override
                public void errorOccurred(Connection connection, String error) {
                    System.out.println("error: " + error);
                }
            })
            .build();

        // jnats closes for good when it is refused twice with the same words, and has no option against it. So every
        // session is a connection of its own, and there is one way back for all that can happen.
        while (!stopping) {
            try (Connection nc = Nats.connect(options)) {
                System.out.println("connected");
                work(nc);
            } catch (IOException | IllegalStateException error) {
                System.out.println("disconnected: " + error.getMessage());
            }
            Thread.sleep(ThreadLocalRandom.current().nextLong(250, 1000));
        }
        System.out.println("bye " + (number - 1));
    }

    /** Works until the session ends, which is an IllegalStateException, or until the pod does. */
    static void work(Connection nc) throws Exception {
        nc.createDispatcher(question -> nc.publish(question.getReplyTo(), question.getData())).subscribe(ECHO);
        while (!stopping) {
            nc.publish(NUMBERS, String.valueOf(number).getBytes());
            number += 1;
            if (number % 10 == 0) {
                Message answer = nc.request(ECHO, String.valueOf(number).getBytes(), Duration.ofSeconds(1));
                System.out.println(answer == null ? "no echo" : "echo " + new String(answer.getData()));
            }
            Thread.sleep(100);
        }
        nc.drain(Duration.ofSeconds(5)).get(); // Answers what has arrived, sends what was published, closes.
    }

    static String or(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null ? otherwise : value;
    }
}
