//! Does with async-nats, for many ServiceAccounts at once, what their intents are for; says of each step whether it worked.
use std::{env, error::Error, sync::Arc, time::Duration};

use async_nats::jetstream::{
    self,
    consumer::{pull, push, AckPolicy},
    kv::Store,
    object_store::ObjectStore,
    stream::Stream,
};
use futures_util::{StreamExt, TryStreamExt};
use tokio::{io::AsyncReadExt, sync::Semaphore, time::timeout};

type Done = Result<(), Box<dyn Error + Send + Sync>>;

const LARGE: usize = 1_200_000; // So much that a server wants its flow control answered.
const SOON: Duration = Duration::from_secs(2);

struct Job {
    name: String,
    js: jetstream::Context,
    client: async_nats::Client,
}

fn want(held: bool) -> Done {
    if held { Ok(()) } else { Err("not as expected".into()) }
}

impl Job {
    async fn stream(&self, name: &str) -> Result<Stream, Box<dyn Error + Send + Sync>> {
        Ok(self.js.get_stream(name).await?)
    }

    async fn pulled(&self, orders: &jetstream::consumer::PullConsumer, count: usize) -> Done {
        let mut messages = orders.fetch().max_messages(count).expires(SOON).messages().await?;
        let mut left = count;
        while let Some(message) = messages.next().await {
            message?.double_ack().await?;
            left -= 1;
        }
        want(left == 0)
    }

    async fn pull(&self, config: pull::Config, count: usize) -> Done {
        let orders = self.stream("ORDERS").await?.create_consumer(config).await?;
        self.pulled(&orders, count).await
    }

    async fn push(&self, durable: Option<String>) -> Done {
        let config = push::Config {
            durable_name: durable,
            deliver_subject: self.client.new_inbox(),
            ack_policy: AckPolicy::Explicit,
            flow_control: true,
            idle_heartbeat: Duration::from_secs(1),
            ..Default::default()
        };
        let orders = self.stream("ORDERS").await?.create_consumer(config).await?;
        self.pushed(orders).await
    }

    async fn pushed(&self, orders: jetstream::consumer::PushConsumer) -> Done {
        let mut messages = orders.messages().await?;
        for _ in 0..3 {
            timeout(SOON, messages.next()).await?.ok_or("ended")??.double_ack().await?;
        }
        Ok(())
    }

    async fn buckets(&self) -> Result<Vec<Store>, Box<dyn Error + Send + Sync>> {
        Ok(vec![self.js.get_key_value("CFG").await?, self.js.get_key_value("OLD").await?])
    }

    async fn files(&self) -> Result<ObjectStore, Box<dyn Error + Send + Sync>> {
        Ok(self.js.get_object_store("FILES").await?)
    }

    async fn watched(&self, mut watch: jetstream::kv::Watch, count: usize) -> Done {
        for _ in 0..count {
            timeout(SOON, watch.next()).await?.ok_or("ended")??;
        }
        Ok(())
    }

    async fn step(&self, what: &str) -> Done {
        let me = &self.name;
        let durable = |name: String| pull::Config { durable_name: Some(name), ack_policy: AckPolicy::Explicit, ..Default::default() };
        match what {
            "account" => drop(self.js.query_account().await?),
            "pull durable" => self.pull(durable(me.clone()), 3).await?,
            "pull ephemeral" => self.pull(Default::default(), 3).await?,
            "several filters" => {
                let filter_subjects = vec!["orders.1".into(), "orders.2".into()];
                self.pull(pull::Config { filter_subjects, ..durable(format!("{me}-two")) }, 2).await?
            }
            "pull looked up" => {
                drop(self.stream("ORDERS").await?.get_consumer::<pull::Config>(me).await?);
            }
            "push durable" => self.push(Some(format!("{me}-push"))).await?,
            "push ephemeral" => self.push(None).await?,
            "ordered" => {
                let large = self.stream("LARGE").await?.create_consumer(pull::OrderedConfig::default()).await?;
                let mut messages = large.messages().await?;
                for _ in 0..3 {
                    timeout(SOON, messages.next()).await?.ok_or("ended")??;
                }
            }
            "ordered push" => {
                let config = push::OrderedConfig { deliver_subject: self.client.new_inbox(), ..Default::default() };
                let large = self.stream("LARGE").await?.create_consumer(config).await?;
                let mut messages = large.messages().await?;
                for _ in 0..3 {
                    timeout(SOON, messages.next()).await?.ok_or("ended")??;
                }
            }
            "by subject" => want(self.js.stream_by_subject("orders.1").await? == "ORDERS")?,
            "delete consumer" => drop(self.stream("ORDERS").await?.delete_consumer(me).await?),
            "bind" => {
                let orders = self.js.get_consumer_from_stream(format!("of-{me}"), "ORDERS").await?;
                self.pulled(&orders, 1).await?
            }
            "bound" => {
                let large = self.js.get_consumer_from_stream(format!("of-{me}"), "LARGE").await?;
                self.pushed(large).await?
            }
            "filtered" => {
                let config = pull::Config { filter_subject: "orders.1".into(), ..durable(format!("of-{me}")) };
                let orders = self.js.create_consumer_on_stream(config, "ORDERS").await?;
                self.pulled(&orders, 1).await?
            }
            "publish" => drop(self.js.publish("events.1", "an event".into()).await?.await?),
            "get" => for bucket in self.buckets().await? {
                want(bucket.get("shared").await?.ok_or("nothing")? == "2")?
            },
            "get revision" => for bucket in self.buckets().await? {
                want(bucket.entry_for_revision("shared", 1).await?.ok_or("nothing")?.value == "1")?
            },
            "status" => for bucket in self.buckets().await? {
                drop(bucket.status().await?)
            },
            "put" => for bucket in self.buckets().await? {
                bucket.put(me, "1".into()).await?;
            },
            "create" => for bucket in self.buckets().await? {
                bucket.create(format!("{me}.new"), "1".into()).await?;
                want(bucket.create(format!("{me}.new"), "2".into()).await.is_err())?
            },
            "create again" => for bucket in self.buckets().await? {
                bucket.create(format!("{me}.again"), "1".into()).await?;
                bucket.delete(format!("{me}.again")).await?;
                bucket.create(format!("{me}.again"), "2".into()).await?;
            },
            "update" => for bucket in self.buckets().await? {
                let revision = bucket.put(format!("{me}.up"), "1".into()).await?;
                bucket.update(format!("{me}.up"), "2".into(), revision).await?;
            },
            "delete" => for bucket in self.buckets().await? {
                bucket.delete(me).await?
            },
            "purge" => for bucket in self.buckets().await? {
                bucket.purge(me).await?
            },
            "watch" => for bucket in self.buckets().await? {
                self.watched(bucket.watch_with_history("shared").await?, 1).await?
            },
            "watch much" => {
                let big = self.js.get_key_value("BIG").await?;
                self.watched(big.watch_with_history(">").await?, 4).await?
            }
            "keys" => for bucket in self.buckets().await? {
                want(bucket.keys().await?.try_collect::<Vec<String>>().await?.contains(&"shared".into()))?
            },
            "history" => for bucket in self.buckets().await? {
                want(bucket.history("shared").await?.try_collect::<Vec<_>>().await?.len() == 2)?
            },
            "object info" => want(self.files().await?.info("shared").await?.size == LARGE)?,
            "object get" => {
                let mut back = Vec::new();
                self.files().await?.get("shared").await?.read_to_end(&mut back).await?;
                want(back.len() == LARGE)?
            }
            "object list" => want(self.files().await?.list().await?.next().await.is_some())?,
            "object put" | "object overwrite" => drop(self.files().await?.put(me.as_str(), &mut &b"one"[..]).await?),
            "object delete" => self.files().await?.delete(me).await?,
            "stream info" => drop(self.stream("ORDERS").await?.get_info().await?),
            "consumers" => drop(self.stream("ORDERS").await?.consumers().try_collect::<Vec<_>>().await?),
            "consumer names" => drop(self.stream("ORDERS").await?.consumer_names().try_collect::<Vec<_>>().await?),
            "consumer info" => drop(self.stream("ORDERS").await?.consumer_info("of-all").await?),
            _ => return Err("no such step".into()),
        }
        self.client.flush().await?;
        Ok(())
    }
}

fn steps(purpose: &str) -> &'static [&'static str] {
    match purpose {
        "consume" => &[
            "account", "pull durable", "pull ephemeral", "several filters", "pull looked up", "push durable",
            "push ephemeral", "ordered", "ordered push", "by subject", "delete consumer",
        ],
        "bind" => &["bind"],
        "bind-push" => &["bound"],
        "filtered" => &["filtered"],
        "publish" => &["publish"],
        "kv-read" => &["get", "get revision", "status"],
        "kv-write" => &["get", "put", "create", "create again", "update", "delete", "purge"],
        "kv-watch" => &["watch", "watch much", "keys", "history"],
        "object-read" => &["object info", "object get", "object list"],
        "object-write" => &["object info", "object get", "object list", "object put", "object overwrite", "object delete"],
        "stream-info" => &["stream info", "consumers", "consumer names", "consumer info"],
        "lookup" => &["account", "by subject"],
        _ => &[],
    }
}

async fn run(name: String, purpose: String, token: String, url: String) -> Done {
    let complaining = name.clone();
    let client = async_nats::ConnectOptions::with_token(token)
        .custom_inbox_prefix(format!("_INBOX_SA.shop.{name}"))
        .request_timeout(Some(SOON))
        .connection_timeout(Duration::from_secs(10))
        .event_callback(move |event| {
            let name = complaining.clone();
            async move {
                let text = event.to_string();
                if text.contains("iolation") {
                    println!("{name}\tcomplaint\t{text}");
                }
            }
        })
        .connect(url)
        .await?;
    let mut js = jetstream::new(client.clone());
    js.set_timeout(SOON);
    let job = Job { name, js, client };
    for what in steps(&purpose) {
        match timeout(Duration::from_secs(6), job.step(what)).await {
            Ok(Ok(())) => println!("{}\tok\t{what}", job.name),
            Ok(Err(error)) => println!("{}\tfailed\t{what}: {}", job.name, error.to_string().replace('\n', " ")),
            Err(_) => println!("{}\tfailed\t{what}: too late", job.name),
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("NATS_URL")?;
    // Not all at once: each may read what is large.
    let turns = Arc::new(Semaphore::new(16));
    let mut all = Vec::new();
    for line in std::fs::read_to_string(env::var("JOBS_FILE")?)?.lines() {
        let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let (turns, url) = (turns.clone(), url.clone());
        all.push(tokio::spawn(async move {
            let _turn = turns.acquire().await;
            if let Err(error) = run(fields[0].clone(), fields[1].clone(), fields[2].clone(), url).await {
                println!("{}\tfailed\tconnect: {error}", fields[0]);
            }
        }));
    }
    for one in all {
        one.await?;
    }
    println!("\tdone\t");
    Ok(())
}
