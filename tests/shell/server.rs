//! The two ports.

mod admin;
mod certs;
mod clients;
mod drain;
mod limits;
mod requests;
mod slow;
mod trace;
