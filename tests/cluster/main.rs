//! The whole of it on a real API server: the program as a process, registered by the chart.

mod children;
mod messages;
mod schema;
mod webhook;
