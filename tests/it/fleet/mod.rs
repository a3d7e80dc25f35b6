//! The fleet: APIs and workers as processes of their own, with PostgreSQL, Redis and RabbitMQ between them.

mod celery;
mod cli;
mod contract;
mod faults;
mod lifecycle;
mod poison;
mod publishers;
mod signing;
