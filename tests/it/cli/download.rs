//! Artifacts are downloaded from good repositories, and refused from attacked ones.
