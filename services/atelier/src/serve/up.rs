//! `atelier up`: every role in one process, with real gRPC between them.

use std::net::SocketAddr;
use std::time::Duration;

use atelier_chassis::tls::TlsConfig;
use atelier_chassis::{Admin, Drained, Health, Metrics, ServeError, ServerConfig};
use atelier_engine::Engine;
use atelier_gateway::{Gateway, GatewayConfig};
use atelier_package::Kind;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::config::{Listen, UpConfig};
use super::packages::Stock;
use super::reload::Reload;
use super::role::{Domain, Fill, ended, server};
use super::{listen, ready, stop, watch};
use crate::cli::failure::{Exit, Failure};
use crate::files::stdout;

/// How long the gateway may take to hear that the roles are ready.
const READY: Duration = Duration::from_secs(30);
/// How often that is looked at.
const STEP: Duration = Duration::from_millis(10);

/// Serves the whole fleet until a signal.
///
/// # Errors
/// `CannotServe` where any part of it cannot start; nothing is left running then.
pub(super) async fn run(config: UpConfig, admin: Admin) -> Result<(), Failure> {
    let stop = stop::on_signal();
    super::check(&config.server)?;
    let engine = config.engine.engine(&config.device, config.onnxruntime.clone())?;
    // Everything that can be refused is, before anything is started.
    let sockets = Sockets::bind(&config.listen).await?;
    let kinds: Vec<Kind> = Domain::ALL.iter().flat_map(|domain| domain.kinds()).copied().collect();
    let (period, grace) = (config.engine.reload(), config.server.shutdown.drain);
    let reload = Reload::new(config.models.clone(), kinds.clone(), period, grace);
    let opening = Stock::open(config.models.clone(), kinds, engine);
    let Some(stock) = stop.run_until_cancelled(opening).await else { stop::leave(Ok(())) };
    let stock = stock?;
    let address = listen::public_url(sockets.gateway.1, config.server.tls.is_on());
    let mut fleet = Fleet::start(sockets, &config, &admin.metrics, &stop)?;

    admin.probes.follow(fleet.health.clone());
    let engine = match stop.run_until_cancelled(stock.load()).await {
        // A role that broke meanwhile has asked for it, too.
        None => stop::leave(fleet.ended().await),
        Some(Ok(engine)) => engine,
        Some(Err(failure)) => {
            fleet.abort();
            return Err(failure);
        }
    };
    super::admin::show(&admin, &engine);
    let following: Vec<JoinHandle<()>> = fleet.fills.drain(..).map(|fill| fill.fill(&engine)).collect();
    let reloading = reload.follow(engine.clone());
    let ready = fleet.ready(&engine, &stop).await;
    match &ready {
        Ok(true) => {
            let text = ready::text(&address, engine.models().iter().map(|model| model.kind()));
            // Whoever closed stdout does not want to read this; the fleet runs on.
            let _ = stdout::text(&text);
        }
        Ok(false) => {}
        Err(_) => stop.cancel(),
    }
    let ended = fleet.ended().await;
    following.iter().chain(&reloading).for_each(JoinHandle::abort);
    // Whoever asked was answered or cut off: no more is waited for than the runs in progress.
    engine.shutdown(Duration::ZERO).await;
    ready.and(ended)
}

/// The sockets of every role, bound together or not at all.
struct Sockets {
    gateway: (TcpListener, SocketAddr),
    roles: Vec<(Domain, TcpListener, SocketAddr)>,
}

impl Sockets {
    async fn bind(addresses: &Listen) -> Result<Self, Failure> {
        let gateway = listen::bind("gateway", addresses.gateway).await?;
        let mut roles = Vec::new();
        for domain in Domain::ALL {
            let address = match domain {
                Domain::Codec => addresses.codec,
                Domain::Image => addresses.image,
                Domain::Text => addresses.text,
                Domain::Audio => addresses.audio,
                Domain::Tensor => addresses.tensor,
            };
            let (listener, bound) = listen::bind(&format!("{} role", domain.name()), address).await?;
            roles.push((domain, listener, bound));
        }
        Ok(Self { gateway, roles })
    }
}

type Serving = JoinHandle<Result<Drained, ServeError>>;

/// The servers of every role, under way.
struct Fleet {
    servers: Vec<(&'static str, Serving)>,
    fills: Vec<Fill>,
    health: Health,
}

impl Fleet {
    /// Starts the servers. The gateway drains when `stop` says so, and the roles behind it when it has.
    fn start(
        sockets: Sockets,
        config: &UpConfig,
        metrics: &Metrics,
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        let routes =
            sockets.roles.iter().map(|(domain, _, bound)| domain.route(listen::url(*bound))).collect();
        let own = GatewayConfig {
            routes,
            access: config.access.clone(),
            server: config.server.clone(),
            ..GatewayConfig::default()
        };
        let gateway = Gateway::new(own).map_err(|e| Failure::usage(e.to_string()))?;
        let gateway = gateway.metrics(metrics);
        let health = gateway.health();
        let inner = ServerConfig {
            tls: TlsConfig::default(),
            max_connection_age: Duration::ZERO,
            ..config.server.clone()
        };
        let roles_stop = CancellationToken::new();
        let (mut servers, mut fills) = (Vec::new(), Vec::new());
        for (domain, listener, _) in sockets.roles {
            let (server, fill) = server(domain, &inner, metrics);
            // A role that ends before its time takes the fleet with it, so that somebody notices.
            let end = stop.clone().drop_guard();
            let serve = server.serve(listener, roles_stop.clone().cancelled_owned());
            let serving = tokio::spawn(async move {
                let _end = end;
                serve.await
            });
            servers.push((domain.name(), serving));
            fills.push(fill);
        }
        let end = roles_stop.drop_guard();
        let serve = gateway.serve(sockets.gateway.0, stop.clone().cancelled_owned());
        let serving = tokio::spawn(async move {
            let _end = end;
            serve.await
        });
        servers.insert(0, ("gateway", serving));
        Ok(Self { servers, fills, health })
    }

    /// Waits until the gateway has heard that every role with models is serving; false when told to stop
    /// before.
    async fn ready(&self, engine: &Engine, stop: &CancellationToken) -> Result<bool, Failure> {
        let (served, empty): (Vec<Domain>, Vec<Domain>) =
            Domain::ALL.into_iter().partition(|domain| watch::serves(engine, *domain));
        // No role needs packages of any ONNX file; raw tensors are served without.
        for domain in empty.into_iter().filter(|domain| *domain != Domain::Tensor) {
            tracing::warn!(role = domain.name(), "no package for this role: its service is not served");
        }
        let heard = async {
            while !served.iter().all(|domain| self.health.is_serving(domain.service()) == Some(true)) {
                tokio::time::sleep(STEP).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => Ok(false),
            heard = tokio::time::timeout(READY, heard) => match heard {
                Ok(()) => Ok(true),
                Err(_) => {
                    let message = "the gateway does not see its roles serving, half a minute after they began";
                    Err(Failure::new(Exit::CannotServe, message))
                }
            },
        }
    }

    /// Waits until every server has drained. The first that broke is the failure.
    async fn ended(self) -> Result<(), Failure> {
        let mut first = Ok(());
        for (role, serving) in self.servers {
            first = first.and(ended(role, serving.await));
        }
        first
    }

    fn abort(&self) {
        self.servers.iter().for_each(|(_, serving)| serving.abort());
    }
}
