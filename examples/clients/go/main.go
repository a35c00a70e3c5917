// A pod that counts aloud and answers an echo, whatever becomes of its sessions.
//
// Environment: NAMESPACE, SERVICE_ACCOUNT, NATS_URL, TOKEN_FILE.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

func connect(url, tokenFile, namespace, serviceAccount string, options ...nats.Option) (*nats.Conn, error) {
	return nats.Connect(url, append(options,
		// Asked at each connect. A file that cannot be read is a login that is refused, and tried again.
		nats.TokenHandler(func() string {
			token, _ := os.ReadFile(tokenFile)
			return strings.TrimSpace(string(token))
		}),
		nats.CustomInboxPrefix("_INBOX_SA."+namespace+"."+strings.ReplaceAll(serviceAccount, ".", "_")),
		// Never give up: not at the first connect, not after many, not when refused twice with the same words.
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(250*time.Millisecond), nats.ReconnectJitter(750*time.Millisecond, 750*time.Millisecond),
	)...)
}

func main() {
	namespace, serviceAccount := os.Getenv("NAMESPACE"), os.Getenv("SERVICE_ACCOUNT")
	url := or("NATS_URL", "nats://nats.nats-system.svc.cluster.local:4222")
	tokenFile := or("TOKEN_FILE", "/var/run/secrets/nats/token")
	numbers, echo := namespace+".numbers."+serviceAccount, namespace+".echo."+serviceAccount
	closed := make(chan struct{})

	nc, err := connect(url, tokenFile, namespace, serviceAccount,
		nats.Name(namespace+"/"+serviceAccount),
		nats.ConnectHandler(func(*nats.Conn) { fmt.Println("connected") }),
		nats.ReconnectHandler(func(*nats.Conn) { fmt.Println("connected again") }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { fmt.Println("disconnected:", err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { fmt.Println("error:", err) }),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }),
	)
	if err != nil {
		fmt.Println(err) // What can never work, such as a URL that is none.
		os.Exit(1)
	}
	if _, err := nc.Subscribe(echo, func(message *nats.Msg) { _ = message.Respond(message.Data) }); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	for number := 1; ; number++ {
		text := []byte(strconv.Itoa(number))
		if err := nc.Publish(numbers, text); err != nil {
			fmt.Println("not published:", number, err)
		}
		if number%10 == 0 {
			if answer, err := nc.Request(echo, text, time.Second); err != nil {
				fmt.Println("no echo:", err)
			} else {
				fmt.Println("echo", string(answer.Data))
			}
		}
		select {
		case <-stop:
			_ = nc.Drain() // Answers what has arrived, sends what was published, closes; without a session it only closes.
			<-closed
			fmt.Println("bye", number)
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func or(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
