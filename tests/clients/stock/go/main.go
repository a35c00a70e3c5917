// A connection of nats.go as it comes: it listens, and says when what happened.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func say(what ...any) {
	fmt.Printf("%.3f 0 %s", float64(time.Now().UnixMilli())/1000, fmt.Sprintln(what...))
}

func main() {
	nc, err := nats.Connect(os.Getenv("NATS_URL"),
		nats.TokenHandler(func() string {
			token, _ := os.ReadFile(os.Getenv("TOKEN_FILE"))
			return strings.TrimSpace(string(token))
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { say("disconnected", err) }),
		nats.ReconnectHandler(func(*nats.Conn) { say("reconnected") }),
		nats.ClosedHandler(func(*nats.Conn) { say("closed") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { say("error", err) }),
	)
	must(err)
	_, err = nc.Subscribe("shop.core", func(message *nats.Msg) { say("core", string(message.Data)) })
	must(err)
	must(nc.Flush())
	say("connected")
	js, err := jetstream.New(nc)
	must(err)
	orders, err := js.Consumer(context.Background(), "STOCK", "of-"+os.Getenv("SERVICE_ACCOUNT"))
	must(err)
	_, err = orders.Consume(func(message jetstream.Msg) {
		_ = message.Ack()
		say("js", string(message.Data()))
	})
	must(err)
	time.Sleep(time.Hour)
}

func must(err error) {
	if err != nil {
		say("failed", err)
		os.Exit(1)
	}
}
