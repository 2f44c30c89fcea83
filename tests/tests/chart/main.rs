//! The Helm chart, judged by Helm itself, by the schemas of Kubernetes and by the program that it runs.

mod chart;
mod golden;
mod kubernetes;
mod models;
mod objects;
mod process;
mod refusals;
mod security;
