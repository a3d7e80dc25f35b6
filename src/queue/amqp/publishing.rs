//! Publishing: persistent, mandatory, and done only when the broker has confirmed it.
//!
//! All who publish share one channel, and nobody waits for the confirm of another.

use std::sync::Arc;

use lapin::{
    BasicProperties, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::time::timeout;

use super::{
    options::AmqpOptions,
    session::{self, Session, unavailable},
};
use crate::queue::{QueueError, link::Link};

/// How often one publish sends its message: once more after the connection was lost, or the queue was gone.
const MOST_SENDINGS: u32 = 2;

/// The publishing side of a broker.
pub(super) struct Publishing {
    options: Arc<AmqpOptions>,
    link: Link<Session>,
}

impl Publishing {
    pub(super) fn new(options: Arc<AmqpOptions>) -> Self {
        Self { options, link: Link::default() }
    }

    /// Sends a message to a queue, and waits for the confirm; within the limit also for a broker that comes back.
    pub(super) async fn publish(
        &self,
        queue: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), QueueError> {
        let limit = self.options.confirm_limit;
        let mut cause = None;
        let confirmed = timeout(limit, async {
            let mut sendings = 0;
            loop {
                let session = match self.session().await {
                    Ok(session) => session,
                    Err(error) => {
                        cause = Some(error);
                        continue;
                    }
                };
                sendings += 1;
                let error = match send(&session, queue, body, properties.clone()).await {
                    Ok(Confirmation::Ack(None) | Confirmation::NotRequested) => return Ok(()),
                    Ok(Confirmation::Nack(_)) => return Err(QueueError("the broker refused the message".into())),
                    Ok(Confirmation::Ack(Some(_))) => {
                        let declared = session::declare(&session.connection, &self.options).await;
                        declared.err().unwrap_or_else(|| QueueError(format!("there is no queue {queue}")))
                    }
                    Err(error) => {
                        self.link.forget(&session).await;
                        error
                    }
                };
                if sendings >= MOST_SENDINGS {
                    return Err(error);
                }
                cause = Some(error);
            }
        });
        match confirmed.await {
            Ok(done) => done,
            Err(_) => Err(QueueError(match cause {
                Some(QueueError(cause)) => format!("no confirm within {limit:?}: {cause}"),
                None => format!("no confirm within {limit:?}"),
            })),
        }
    }

    /// The messages that wait in both queues.
    pub(super) async fn depth(&self) -> Result<u64, QueueError> {
        let limit = self.options.confirm_limit;
        let asked = timeout(limit, async {
            let session = self.session().await?;
            let counted = session.count(self.options.queues.consumed()).await;
            if counted.is_err() {
                // The next session declares what is missing.
                self.link.forget(&session).await;
            }
            counted
        });
        asked.await.unwrap_or_else(|_| Err(QueueError(format!("no answer within {limit:?}"))))
    }

    async fn session(&self) -> Result<Arc<Session>, QueueError> {
        let connect = async || {
            let session = Session::open(&self.options, "publisher").await?;
            session.channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(unavailable)?;
            Ok(session)
        };
        self.link.connection(Session::is_alive, connect).await
    }
}

async fn send(
    session: &Session,
    queue: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Result<Confirmation, QueueError> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent = session.channel.basic_publish("".into(), queue.into(), options, body, properties).await;
    sent.map_err(unavailable)?.await.map_err(unavailable)
}
