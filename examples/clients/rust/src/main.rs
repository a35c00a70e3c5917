//! A pod that counts aloud and answers an echo, whatever becomes of its sessions.
//!
//! Environment: NAMESPACE, SERVICE_ACCOUNT, NATS_URL, TOKEN_FILE.
use std::{env, time::Duration};

use async_nats::{Auth, AuthError, Client, ConnectOptions};
use futures_util::StreamExt;
use tokio::signal::unix::{signal, SignalKind};

async fn connect(
    url: &str,
    token_file: String,
    namespace: &str,
    service_account: &str,
) -> Result<Client, async_nats::ConnectError> {
    // Asked at each connect. A file that cannot be read is a login that fails, and is tried again.
    ConnectOptions::with_auth_callback(move |_nonce| {
        let token_file = token_file.clone();
        async move {
            let token = tokio::fs::read_to_string(token_file).await;
            let mut auth = Auth::new();
            auth.token = Some(token.map_err(AuthError::new)?.trim().to_owned());
            Ok(auth)
        }
    })
    .custom_inbox_prefix(format!("_INBOX_SA.{namespace}.{}", service_account.replace('.', "_")))
    // Never give up: not at the first connect, not after many.
    .retry_on_initial_connect()
    .max_reconnects(None)
    .reconnect_delay_callback(|_attempts| Duration::from_millis(rand::random_range(250..1000)))
    .request_timeout(Some(Duration::from_secs(1)))
    .name(format!("{namespace}/{service_account}"))
    .event_callback(|event| async move { println!("{event}") })
    .connect(url)
    .await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (namespace, service_account) = (env::var("NAMESPACE")?, env::var("SERVICE_ACCOUNT")?);
    let url = or("NATS_URL", "nats://nats.nats-system.svc.cluster.local:4222");
    let token_file = or("TOKEN_FILE", "/var/run/secrets/nats/token");
    let numbers = format!("{namespace}.numbers.{service_account}");
    let echo = format!("{namespace}.echo.{service_account}");

    let client = connect(&url, token_file, &namespace, &service_account).await?;

    let mut questions = client.subscribe(echo.clone()).await?;
    let answering = client.clone();
    let echoes = tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            if let Some(reply) = question.reply {
                answering.publish(reply, question.payload).await.ok();
            }
        }
    });

    let mut stop = signal(SignalKind::terminate())?;
    let mut number = 0;
    loop {
        number += 1;
        client.publish(numbers.clone(), number.to_string().into()).await?;
        if number % 10 == 0 {
            match client.request(echo.clone(), number.to_string().into()).await {
                Ok(answer) => println!("echo {}", String::from_utf8_lossy(&answer.payload)),
                Err(error) => println!("no echo: {error}"),
            }
        }
        tokio::select! {
            _ = stop.recv() => break,
            _ = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    client.drain().await?; // Answers what has arrived, sends what was published, closes: then subscriptions end.
    tokio::time::timeout(Duration::from_secs(3), echoes).await.ok();
    println!("bye {number}");
    Ok(())
}

fn or(name: &str, otherwise: &str) -> String {
    env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}
