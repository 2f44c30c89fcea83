//! A gateway with roles behind it.

use std::net::SocketAddr;
use std::time::Duration;

use atelier_chassis::{Server, ServerConfig};
use atelier_gateway::{Gateway, GatewayConfig, Route};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::support::{Running, config};

pub const TEXT: &str = "atelier.text.v1.TextService";

pub fn route(role: &str, service: &str, address: SocketAddr) -> Route {
    Route { role: role.into(), services: vec![service.into()], uri: format!("http://{address}") }
}

pub async fn gateway(routes: Vec<Route>) -> Running {
    gateway_with(routes, config(Duration::from_secs(10))).await
}

pub async fn gateway_with(routes: Vec<Route>, server: ServerConfig) -> Running {
    let gateway = Gateway::new(GatewayConfig { routes, server, ..GatewayConfig::default() }).unwrap();
    serving(gateway).await
}

pub async fn serving(gateway: Gateway) -> Running {
    let health = gateway.health();
    Running::run(health, |listener, stop| async move { gateway.serve(listener, stop).await.unwrap() }).await
}

/// An address at which nothing listens.
pub async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A role on a runtime of its own, so that it can be killed as a process is: at once, connections and
/// all.
pub struct Mortal {
    pub address: SocketAddr,
    kill: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Mortal {
    pub async fn start(server: Server, address: SocketAddr) -> Self {
        let (kill, killed) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind(address).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                tokio::spawn(server.serve(listener, std::future::pending()));
                let _ = killed.await;
            });
            runtime.shutdown_timeout(Duration::from_secs(5));
        });
        Self { address: told.await.unwrap(), kill: Some(kill), thread: Some(thread) }
    }

    pub async fn kill(mut self) {
        self.kill.take().unwrap().send(()).unwrap();
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
    }
}
