// Does with nats.go, for many ServiceAccounts at once, what their intents are for; says of each step whether it worked.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const large = 1_200_000 // So much that a server wants its flow control answered.

// One ServiceAccount, and its connection.
type job struct {
	name, purpose, token string
	nc                   *nats.Conn
	js                   jetstream.JetStream
	old                  nats.JetStreamContext
	ctx                  context.Context
}

type step struct {
	name string
	do   func(*job)
}

var reads = []step{{"object info", objectInfo}, {"object get", objectGet}, {"object list", objectList}, {"object status", objectStatus}}

var purposes = map[string][]step{
	"consume": {
		{"account", account}, {"pull durable", pullDurable}, {"pull ephemeral", pullEphemeral}, {"push durable", pushDurable},
		{"push ephemeral", pushEphemeral}, {"ordered", ordered}, {"several filters", severalFilters},
		{"old pull durable", oldPull}, {"old push", oldPush}, {"old ordered", oldOrdered}, {"old create", oldCreate},
		{"by subject", bySubject}, {"delete consumer", deleteConsumer},
	},
	"bind":         {{"bind", bind}, {"old bind", oldBind}},
	"bind-push":    {{"bound", bound}},
	"filtered":     {{"filtered", filtered}},
	"publish":      {{"publish", publish}},
	"kv-read":      {{"get", get}, {"get revision", getRevision}, {"status", status}},
	"kv-write":     {{"get", get}, {"put", put}, {"create", create}, {"create again", createAgain}, {"update", update}, {"delete", remove}, {"purge", purge}},
	"kv-watch":     {{"watch", watch}, {"watch much", watchMuch}, {"keys", keys}, {"history", history}},
	"object-read":  reads,
	"object-write": append(append([]step{}, reads...), step{"object put", objectPut}, step{"object put", objectPut}, step{"object delete", objectDelete}),
	"stream-info":  {{"stream info", streamInfo}, {"consumers", consumers}, {"consumer names", consumerNames}, {"consumer info", consumerInfo}},
	"lookup":       {{"account", account}, {"by subject", bySubject}},
}

func main() {
	listed, err := os.ReadFile(os.Getenv("JOBS_FILE"))
	must(err)
	var all sync.WaitGroup
	turns := make(chan struct{}, 40) // Not all at once: each may read what is large.
	for line := range strings.Lines(string(listed)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		all.Go(func() {
			turns <- struct{}{}
			(&job{name: fields[0], purpose: fields[1], token: fields[2]}).run()
			<-turns
		})
	}
	all.Wait()
	fmt.Print("\tdone\t\n")
}

func (j *job) run() {
	var err error
	j.nc, err = nats.Connect(os.Getenv("NATS_URL"), nats.Token(j.token), nats.CustomInboxPrefix("_INBOX_SA.shop."+j.name),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { fmt.Printf("%s\tcomplaint\t%v\n", j.name, err) }))
	must(err)
	defer j.nc.Close()
	j.js, err = jetstream.New(j.nc, jetstream.WithDefaultTimeout(2*time.Second))
	must(err)
	j.old, err = j.nc.JetStream(nats.MaxWait(2 * time.Second))
	must(err)
	for _, one := range purposes[j.purpose] {
		j.try(one)
	}
}

func (j *job) try(one step) {
	var cancel context.CancelFunc
	j.ctx, cancel = context.WithTimeout(context.Background(), 6*time.Second)
	defer cancel()
	defer func() {
		if err := recover(); err != nil {
			fmt.Printf("%s\tfailed\t%s: %s\n", j.name, one.name, strings.ReplaceAll(fmt.Sprint(err), "\n", " "))
		}
	}()
	one.do(j)
	must(j.nc.Flush())
	fmt.Printf("%s\tok\t%s\n", j.name, one.name)
}

func account(j *job) {
	_, err := j.js.AccountInfo(j.ctx)
	must(err)
}

func fetchAndAck(j *job, orders jetstream.Consumer, count int) {
	batch, err := orders.Fetch(count, jetstream.FetchMaxWait(2*time.Second))
	must(err)
	for message := range batch.Messages() {
		must(message.DoubleAck(j.ctx))
		count--
	}
	must(batch.Error())
	want(count == 0)
}

func pullDurable(j *job) {
	stream, err := j.js.Stream(j.ctx, "ORDERS")
	must(err)
	orders, err := stream.CreateOrUpdateConsumer(j.ctx, jetstream.ConsumerConfig{Durable: j.name})
	must(err)
	fetchAndAck(j, orders, 3)
	again, err := j.js.Consumer(j.ctx, "ORDERS", j.name)
	must(err)
	_, err = again.Info(j.ctx)
	must(err)
}

func pullEphemeral(j *job) {
	orders, err := j.js.CreateConsumer(j.ctx, "ORDERS", jetstream.ConsumerConfig{FilterSubject: "orders.*"})
	must(err)
	fetchAndAck(j, orders, 3)
}

func severalFilters(j *job) {
	orders, err := j.js.CreateConsumer(j.ctx, "ORDERS", jetstream.ConsumerConfig{FilterSubjects: []string{"orders.1", "orders.2"}})
	must(err)
	fetchAndAck(j, orders, 2)
}

func push(j *job, durable string) {
	orders, err := j.js.CreateOrUpdatePushConsumer(j.ctx, "ORDERS", jetstream.ConsumerConfig{
		Durable: durable, DeliverSubject: j.nc.NewInbox(), AckPolicy: jetstream.AckExplicitPolicy,
		FlowControl: true, IdleHeartbeat: time.Second,
	})
	must(err)
	threePushed(j, orders)
}

func threePushed(j *job, orders jetstream.PushConsumer) {
	got := make(chan jetstream.Msg, 10)
	consuming, err := orders.Consume(func(message jetstream.Msg) { got <- message })
	must(err)
	defer consuming.Stop()
	for range 3 {
		select {
		case message := <-got:
			must(message.DoubleAck(j.ctx))
		case <-j.ctx.Done():
			must(j.ctx.Err())
		}
	}
}

func pushDurable(j *job)   { push(j, j.name+"-push") }
func pushEphemeral(j *job) { push(j, "") }

func ordered(j *job) {
	orders, err := j.js.OrderedConsumer(j.ctx, "LARGE", jetstream.OrderedConsumerConfig{})
	must(err)
	messages, err := orders.Messages()
	must(err)
	for range 3 {
		_, err := messages.Next(jetstream.NextMaxWait(2 * time.Second))
		must(err)
	}
	messages.Stop()
}

func oldPull(j *job) {
	orders, err := j.old.PullSubscribe("orders.*", j.name+"-old")
	must(err)
	messages, err := orders.Fetch(3)
	must(err)
	want(len(messages) == 3)
	for _, message := range messages {
		must(message.AckSync())
	}
	must(orders.Unsubscribe())
}

func oldPush(j *job) {
	orders, err := j.old.SubscribeSync("orders.*", nats.Durable(j.name+"-oldpush"), nats.BindStream("ORDERS"))
	must(err)
	for range 3 {
		message, err := orders.NextMsg(2 * time.Second)
		must(err)
		must(message.AckSync())
	}
	must(orders.Unsubscribe())
}

func oldOrdered(j *job) {
	orders, err := j.old.SubscribeSync("large", nats.OrderedConsumer(), nats.BindStream("LARGE"))
	must(err)
	for range 3 {
		_, err := orders.NextMsg(2 * time.Second)
		must(err)
	}
	must(orders.Unsubscribe())
}

func oldCreate(j *job) {
	old, err := j.nc.JetStream(nats.MaxWait(2*time.Second), nats.UseLegacyDurableConsumers())
	must(err)
	_, err = old.AddConsumer("ORDERS", &nats.ConsumerConfig{Durable: j.name + "-legacy", AckPolicy: nats.AckExplicitPolicy})
	must(err)
}

func bySubject(j *job) {
	found, err := j.js.StreamNameBySubject(j.ctx, "orders.1")
	must(err)
	want(found == "ORDERS")
}

func deleteConsumer(j *job) { must(j.js.DeleteConsumer(j.ctx, "ORDERS", j.name)) }

func bind(j *job) {
	orders, err := j.js.Consumer(j.ctx, "ORDERS", "of-"+j.name)
	must(err)
	fetchAndAck(j, orders, 1)
}

func bound(j *job) {
	pushed, err := j.js.PushConsumer(j.ctx, "LARGE", "of-"+j.name)
	must(err)
	threePushed(j, pushed)
}

func oldBind(j *job) {
	orders, err := j.old.PullSubscribe("", "", nats.Bind("ORDERS", "of-"+j.name))
	must(err)
	messages, err := orders.Fetch(1)
	must(err)
	must(messages[0].AckSync())
}

func filtered(j *job) {
	orders, err := j.js.CreateOrUpdateConsumer(j.ctx, "ORDERS", jetstream.ConsumerConfig{Durable: "of-" + j.name, FilterSubject: "orders.1"})
	must(err)
	fetchAndAck(j, orders, 1)
	_, err = orders.Info(j.ctx)
	must(err)
}

func publish(j *job) {
	_, err := j.js.Publish(j.ctx, "events.1", []byte("an event"))
	must(err)
}

func (j *job) buckets() (found []jetstream.KeyValue) {
	for _, name := range []string{"CFG", "OLD"} {
		bucket, err := j.js.KeyValue(j.ctx, name)
		must(err)
		found = append(found, bucket)
	}
	return
}

func get(j *job) {
	for _, bucket := range j.buckets() {
		entry, err := bucket.Get(j.ctx, "shared")
		must(err)
		want(string(entry.Value()) == "2")
	}
}

func getRevision(j *job) {
	for _, bucket := range j.buckets() {
		entry, err := bucket.GetRevision(j.ctx, "shared", 1)
		must(err)
		want(string(entry.Value()) == "1")
	}
}

func status(j *job) {
	for _, bucket := range j.buckets() {
		_, err := bucket.Status(j.ctx)
		must(err)
	}
}

func put(j *job) {
	for _, bucket := range j.buckets() {
		_, err := bucket.Put(j.ctx, j.name, []byte("1"))
		must(err)
	}
}

func create(j *job) {
	for _, bucket := range j.buckets() {
		_, err := bucket.Create(j.ctx, j.name+".new", []byte("1"))
		must(err)
		_, err = bucket.Create(j.ctx, j.name+".new", []byte("2"))
		want(errors.Is(err, jetstream.ErrKeyExists))
	}
}

func createAgain(j *job) {
	for _, bucket := range j.buckets() {
		_, err := bucket.Create(j.ctx, j.name+".again", []byte("1"))
		must(err)
		must(bucket.Delete(j.ctx, j.name+".again"))
		_, err = bucket.Create(j.ctx, j.name+".again", []byte("2"))
		must(err)
	}
}

func update(j *job) {
	for _, bucket := range j.buckets() {
		revision, err := bucket.Put(j.ctx, j.name+".up", []byte("1"))
		must(err)
		_, err = bucket.Update(j.ctx, j.name+".up", []byte("2"), revision)
		must(err)
	}
}

func remove(j *job) {
	for _, bucket := range j.buckets() {
		must(bucket.Delete(j.ctx, j.name))
	}
}

func purge(j *job) {
	for _, bucket := range j.buckets() {
		must(bucket.Purge(j.ctx, j.name))
	}
}

func next(j *job, watcher jetstream.KeyWatcher) jetstream.KeyValueEntry {
	select {
	case entry := <-watcher.Updates():
		want(entry != nil)
		return entry
	case <-j.ctx.Done():
		must(j.ctx.Err())
		return nil
	}
}

func watch(j *job) {
	for _, bucket := range j.buckets() {
		watcher, err := bucket.Watch(j.ctx, "shared")
		must(err)
		want(string(next(j, watcher).Value()) == "2")
		must(watcher.Stop())
	}
}

func watchMuch(j *job) {
	bucket, err := j.js.KeyValue(j.ctx, "BIG")
	must(err)
	watcher, err := bucket.WatchAll(j.ctx)
	must(err)
	for range 4 {
		next(j, watcher)
	}
	must(watcher.Stop())
}

func keys(j *job) {
	for _, bucket := range j.buckets() {
		found, err := bucket.Keys(j.ctx)
		must(err)
		want(strings.Contains(strings.Join(found, " "), "shared"))
	}
}

func history(j *job) {
	for _, bucket := range j.buckets() {
		found, err := bucket.History(j.ctx, "shared")
		must(err)
		want(len(found) == 2)
	}
}

func (j *job) files() jetstream.ObjectStore {
	files, err := j.js.ObjectStore(j.ctx, "FILES")
	must(err)
	return files
}

func objectInfo(j *job) {
	_, err := j.files().GetInfo(j.ctx, "shared")
	must(err)
}

func objectGet(j *job) {
	back, err := j.files().GetBytes(j.ctx, "shared")
	must(err)
	want(bytes.Equal(back, make([]byte, large)))
}

func objectList(j *job) {
	found, err := j.files().List(j.ctx)
	must(err)
	want(len(found) > 0)
}

func objectStatus(j *job) {
	_, err := j.files().Status(j.ctx)
	must(err)
}

func objectPut(j *job) {
	_, err := j.files().PutBytes(j.ctx, j.name, []byte("one"))
	must(err)
}

func objectDelete(j *job) { must(j.files().Delete(j.ctx, j.name)) }

func orders(j *job) jetstream.Stream {
	stream, err := j.js.Stream(j.ctx, "ORDERS")
	must(err)
	return stream
}

func streamInfo(j *job) {
	_, err := orders(j).Info(j.ctx)
	must(err)
}

func consumers(j *job) {
	listed := orders(j).ListConsumers(j.ctx)
	for range listed.Info() {
	}
	must(listed.Err())
}

func consumerNames(j *job) {
	listed := orders(j).ConsumerNames(j.ctx)
	for range listed.Name() {
	}
	must(listed.Err())
}

func consumerInfo(j *job) {
	_, err := j.js.Consumer(j.ctx, "ORDERS", "of-all")
	must(err)
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
