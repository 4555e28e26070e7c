//! The conformance stories and everything else that needs no real peer, in one binary.

#![allow(unreachable_pub, reason = "one binary; nothing is reachable from outside")]
#![allow(dead_code, reason = "helpers wait for the stories that need them")]

mod accounts;
mod agent;
mod auth;
mod auth_choice;
mod bounds;
mod building;
mod checklist;
mod cost;
mod defence;
mod document_roundtrip;
mod documents;
mod examples;
mod framing;
mod hostile;
mod incoming;
mod layering;
mod libs_data;
mod libs_kv;
mod libs_metrics;
mod libs_secret;
mod libs_system;
mod masking;
mod message;
mod observe;
mod oneshot;
mod program;
mod publish;
mod publish_options;
mod publish_owner;
mod publish_queue;
mod publish_regressions;
mod publish_retry;
mod publish_tags;
mod publish_time;
mod publish_version;
mod reading;
mod reload;
mod response;
mod roundtrip;
mod script;
mod script_bodies;
mod script_publish;
mod secrets;
mod simulation;
mod sockets;
mod support;
mod tasks;
mod timers;
mod torture;
mod transaction;
mod transport;
mod uri;
