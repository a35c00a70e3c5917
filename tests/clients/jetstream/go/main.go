// One purpose of JetStream with nats.go, as the ServiceAccount of a recipe; says what worked.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

const me = "go"

var (
	ctx, cancel = context.WithTimeout(context.Background(), 30*time.Second)
	nc          *nats.Conn
	payload     = make([]byte, 1_200_000) // So much that a server wants its flow control answered.
)

func main() {
	defer cancel()
	token, err := os.ReadFile(os.Getenv("TOKEN_FILE"))
	must(err)
	nc, err = nats.Connect(os.Getenv("NATS_URL"),
		nats.Token(strings.TrimSpace(string(token))),
		nats.CustomInboxPrefix(os.Getenv("INBOX_PREFIX")),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { fmt.Println("complaint:", err) }),
	)
	must(err)
	js, err := jetstream.New(nc)
	must(err)
	map[string]func(jetstream.JetStream){
		"packer": pull, "replayer": ordered, "listener": push, "reader": read, "writer": write, "archivist": objects,
		"finder": service,
	}[os.Getenv("PURPOSE")](js)
	must(nc.Flush())
	fmt.Println("done")
}

func pull(js jetstream.JetStream) {
	stream, err := js.Stream(ctx, "ORDERS")
	must(err)
	orders, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: me})
	must(err)
	fetchAndAck(orders, 3)
	tell("pull")
	bound, err := js.Consumer(ctx, "ORDERS", "of-"+me)
	must(err)
	fetchAndAck(bound, 1)
	tell("bind")
}

func fetchAndAck(orders jetstream.Consumer, count int) {
	batch, err := orders.Fetch(count, jetstream.FetchMaxWait(5*time.Second))
	must(err)
	for message := range batch.Messages() {
		must(message.DoubleAck(ctx))
		count--
	}
	must(batch.Error())
	want(count == 0)
}

func ordered(js jetstream.JetStream) {
	orders, err := js.OrderedConsumer(ctx, "ORDERS", jetstream.OrderedConsumerConfig{})
	must(err)
	messages, err := orders.Messages()
	must(err)
	for range 3 {
		_, err := messages.Next()
		must(err)
	}
	messages.Stop()
	tell("ordered")
	// The older interface pushes.
	old, err := nc.JetStream()
	must(err)
	subscription, err := old.SubscribeSync("orders.*", nats.OrderedConsumer(), nats.BindStream("ORDERS"))
	must(err)
	for range 3 {
		_, err := subscription.NextMsg(5 * time.Second)
		must(err)
	}
	must(subscription.Unsubscribe())
	tell("ordered push")
}

func push(js jetstream.JetStream) {
	for _, durable := range []string{me + "-push", ""} {
		orders, err := js.CreateOrUpdatePushConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{
			Durable: durable, DeliverSubject: nc.NewInbox(), AckPolicy: jetstream.AckExplicitPolicy,
			FlowControl: true, IdleHeartbeat: 5 * time.Second,
		})
		must(err)
		got := make(chan jetstream.Msg, 10)
		consuming, err := orders.Consume(func(message jetstream.Msg) { got <- message })
		must(err)
		for range 3 {
			select {
			case message := <-got:
				must(message.DoubleAck(ctx))
			case <-ctx.Done():
				must(ctx.Err())
			}
		}
		consuming.Stop()
		if durable != "" {
			tell("push durable")
		} else {
			tell("push")
		}
	}
}

func read(js jetstream.JetStream) {
	bucket, err := js.KeyValue(ctx, "CFG")
	must(err)
	entry, err := bucket.Get(ctx, "shared")
	must(err)
	_, err = bucket.GetRevision(ctx, "shared", entry.Revision())
	must(err)
	tell("get")
	watcher, err := bucket.Watch(ctx, "shared")
	must(err)
	want(string((<-watcher.Updates()).Value()) == "2")
	must(watcher.Stop())
	tell("watch")
	keys, err := bucket.ListKeys(ctx)
	must(err)
	found := false
	for key := range keys.Keys() {
		found = found || key == "shared"
	}
	want(found)
	tell("keys")
	history, err := bucket.History(ctx, "shared")
	must(err)
	want(len(history) == 2)
	tell("history")
	_, err = bucket.Status(ctx)
	must(err)
	tell("status")
}

func write(js jetstream.JetStream) {
	read(js)
	bucket, err := js.KeyValue(ctx, "CFG")
	must(err)
	_, err = bucket.Put(ctx, me, []byte("1"))
	must(err)
	tell("put")
	_, err = bucket.Create(ctx, me, []byte("2"))
	want(errors.Is(err, jetstream.ErrKeyExists))
	revision, err := bucket.Create(ctx, me+".new", []byte("1"))
	must(err)
	tell("create")
	_, err = bucket.Update(ctx, me+".new", []byte("2"), revision)
	must(err)
	tell("update")
	must(bucket.Delete(ctx, me))
	tell("delete")
	must(bucket.Purge(ctx, me+".new"))
	tell("purge")
	must(bucket.PurgeDeletes(ctx, jetstream.DeleteMarkersOlderThan(-1)))
	tell("purge deletes")
}

func objects(js jetstream.JetStream) {
	files, err := js.ObjectStore(ctx, "FILES")
	must(err)
	_, err = files.PutBytes(ctx, me, payload)
	must(err)
	tell("put")
	_, err = files.PutBytes(ctx, me, payload)
	must(err)
	tell("overwrite")
	back, err := files.GetBytes(ctx, me)
	must(err)
	want(bytes.Equal(back, payload))
	tell("get")
	listed, err := files.List(ctx)
	must(err)
	want(len(listed) > 0)
	tell("list")
	must(files.Delete(ctx, me))
	tell("delete")
}

func service(jetstream.JetStream) {
	started, err := micro.AddService(nc, micro.Config{Name: "orders", Version: "1.0.0"})
	must(err)
	must(nc.Flush())
	fmt.Println("id", started.Info().ID)
	tell("service")
	<-ctx.Done() // Who asked for it ends it.
}

func tell(what string) {
	must(nc.Flush())
	fmt.Println("ok", what)
}

func want(true bool) {
	if !true {
		must(errors.New("not as expected"))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
