//! Celery messages in AMQP: the headers are a table, the body is the JSON as it is.

use std::str;

use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldArray, FieldTable, LongString, ShortString},
};
use serde_json::Value;

use crate::queue::celery::{self, Headers, Message, Reading};

/// The header with the reason why a message was put aside.
const REASON: &str = "x-rstuf-reason";
/// The header with the queue that a message was put aside from.
const QUEUE: &str = "x-rstuf-queue";
/// A reason is cut after so many characters.
const LONGEST_REASON: usize = 1000;
/// Headers must fit into one frame of 128 KiB; larger ones than this are left out when a message is put aside.
const LARGEST_HEADERS: usize = 64 * 1024;

/// The properties that a message is published with.
pub(super) fn properties(message: &Message) -> BasicProperties {
    let headers = message.headers.iter().map(|(name, value)| (name.as_str(), value_of(value)));
    let properties = common().with_headers(table(headers)).with_priority(0);
    let properties = properties.with_content_encoding("utf-8".into()).with_content_type("application/json".into());
    let properties = properties.with_reply_to(message.reply_to.as_str().into());
    match ShortString::try_new(message.id.as_str()) {
        Ok(id) => properties.with_correlation_id(id),
        Err(_) => properties,
    }
}

/// The properties that a delivery is put aside with: its own, and why.
pub(super) fn put_aside(delivery: &Delivery, reason: &str) -> BasicProperties {
    let mut headers = delivery.properties.headers().clone().unwrap_or_default();
    if format!("{headers:?}").len() > LARGEST_HEADERS {
        headers = FieldTable::default();
    }
    let reason: String = reason.chars().take(LONGEST_REASON).collect();
    headers.insert(REASON.into(), text(&reason));
    headers.insert(QUEUE.into(), text(delivery.routing_key.as_str()));
    let properties = common().with_headers(headers);
    match delivery.properties.correlation_id() {
        Some(id) => properties.with_correlation_id(id.clone()),
        None => properties,
    }
}

/// Reads a delivery; `limit` is that of its body, in bytes.
pub(super) fn reading(delivery: &Delivery, limit: usize) -> Reading {
    let header = |name: &str| match delivery.properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => str::from_utf8(text.as_bytes()).ok().map(str::to_owned),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    };
    let headers = Headers { id: header("id"), task: header("task"), accepted_at: header(celery::ACCEPTED_AT) };
    let correlation = delivery.properties.correlation_id().as_ref().map(ShortString::as_str);
    celery::read(headers, correlation, &delivery.data, limit)
}

/// How often the broker says that it delivered this before: quorum queues count, classic ones know only whether.
pub(super) fn attempts(delivery: &Delivery) -> u32 {
    let count = delivery.properties.headers().as_ref().and_then(|headers| headers.inner().get("x-delivery-count"));
    let count = match count {
        Some(AMQPValue::LongLongInt(count)) => u32::try_from(*count).ok(),
        Some(AMQPValue::LongInt(count)) => u32::try_from(*count).ok(),
        Some(AMQPValue::LongUInt(count)) => Some(*count),
        _ => None,
    };
    count.unwrap_or_default().max(u32::from(delivery.redelivered))
}

fn common() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

fn table<'a>(entries: impl Iterator<Item = (&'a str, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

fn value_of(value: &Value) -> AMQPValue {
    match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(bool) => AMQPValue::Boolean(*bool),
        Value::Number(number) => match number.as_i64() {
            Some(int) => i32::try_from(int).map_or(AMQPValue::LongLongInt(int), AMQPValue::LongInt),
            None => AMQPValue::Double(number.as_f64().unwrap_or_default()),
        },
        Value::String(string) => text(string),
        Value::Array(array) => AMQPValue::FieldArray(FieldArray::from(array.iter().map(value_of).collect::<Vec<_>>())),
        Value::Object(object) => {
            AMQPValue::FieldTable(table(object.iter().map(|(name, value)| (name.as_str(), value_of(value)))))
        }
    }
}
