//! A connection of async-nats as it comes: it listens, and says when what happened.
use std::{env, error::Error, time::SystemTime};

use async_nats::{jetstream, jetstream::consumer::PullConsumer, Auth, AuthError, ConnectOptions, Event};
use futures_util::StreamExt;

fn say(what: impl std::fmt::Display) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    println!("{:.3} 0 {what}", now.as_secs_f64());
}

fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into_owned()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let client = ConnectOptions::with_auth_callback(|_nonce| async {
        let token = tokio::fs::read_to_string(env::var("TOKEN_FILE").unwrap_or_default()).await;
        let mut auth = Auth::new();
        auth.token = Some(token.map_err(AuthError::new)?.trim().to_owned());
        Ok(auth)
    })
    .event_callback(|event| async move {
        match event {
            Event::Connected => say("reconnected"),
            Event::Disconnected => say("disconnected"),
            Event::Closed => say("closed"),
            other => say(format!("error {other}")),
        }
    })
    .connect(env::var("NATS_URL")?)
    .await?;
    let mut core = client.subscribe("shop.core").await?;
    client.flush().await?;
    say("connected");
    let durable = format!("of-{}", env::var("SERVICE_ACCOUNT")?);
    let orders: PullConsumer = jetstream::new(client.clone()).get_consumer_from_stream(durable, "STOCK").await?;
    let mut messages = orders.messages().await?;
    tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            match message {
                Ok(message) => {
                    message.ack().await.ok();
                    say(format!("js {}", text(&message.payload)));
                }
                Err(error) => say(format!("error {error}")),
            }
        }
        say("error no more messages");
    });
    while let Some(message) = core.next().await {
        say(format!("core {}", text(&message.payload)));
    }
    say("closed");
    Ok(())
}
