//! Routes: from a request to the service's answer. Tokens, request ids, the queue and deadlines are here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;
use utoipa::OpenApi;

use crate::body::Bodies;
use crate::event::{Observer, RequestLine, ServeEvent};
use crate::refusal::{Problem, Refusal};
use crate::service::{Scored, Service};
use crate::{openrlhf, wire};

/// Everything that requests share.
pub(crate) struct App {
    pub(crate) service: Arc<Service>,
    pub(crate) observer: Observer,
    /// BLAKE3 of the token; none if requests need no token.
    token: Option<blake3::Hash>,
    bodies: Bodies,
    /// A permit for each request that plugins work on.
    working: Arc<Semaphore>,
    waiting: AtomicUsize,
    deadline: Duration,
    /// The beginning of the ids of this process's requests, and their number.
    id_prefix: String,
    ids: AtomicU64,
}

/// The name of a request in answers and in the log.
#[derive(Debug, Clone)]
struct RequestId(String);

impl App {
    pub(crate) fn new(service: Arc<Service>, token: Option<&str>, observer: Observer) -> Self {
        let settings = &service.settings;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let id_prefix = blake3::hash(format!("{now} {}", std::process::id()).as_bytes()).to_hex()[..8].to_owned();
        Self {
            token: token.map(|token| blake3::hash(token.as_bytes())),
            bodies: Bodies::new(settings.max_body, Duration::from_secs(settings.idle_s)),
            working: Arc::new(Semaphore::new(settings.concurrency)),
            waiting: AtomicUsize::new(0),
            deadline: Duration::from_secs(settings.deadline_s),
            id_prefix,
            ids: AtomicU64::new(0),
            service,
            observer,
        }
    }

    /// Answers on a thread of its own, once there is room.
    async fn work(
        self: &Arc<Self>,
        body: Body,
        answer: impl FnOnce(&Service, &[u8]) -> Result<Scored, Refusal> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let end = tokio::time::Instant::now() + self.deadline;
        let late = || Refusal::Late { seconds: self.deadline.as_secs() };
        let read = timeout_at(end, self.bodies.read(body)).await;
        let held = read.map_err(|_| Refusal::Timeout("the body did not come in time".into()))??;
        let Some(place) = self.wait() else {
            let queue = self.service.settings.queue;
            return Err(Refusal::Busy(format!("{queue} requests wait already, the service's `serve.queue`")));
        };
        let working = Arc::clone(&self.working).acquire_owned();
        let permit = timeout_at(end, working).await.map_err(|_| late())?.expect("the semaphore is never closed");
        drop(place);
        let (app, bytes) = (Arc::clone(self), held.bytes);
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            app.service.metrics.in_flight.inc();
            let answered = answer(&app.service, &bytes);
            app.service.metrics.in_flight.dec();
            answered
        });
        let scored = timeout_at(end, work).await.map_err(|_| late())?;
        // The panic has told its place on standard error.
        let Scored { body, replayed } =
            scored.map_err(|error| Refusal::Internal(format!("a thread ended: {error}")))??;
        let mut response = json(Body::from(axum::body::Bytes::from(body.as_bytes().to_vec())));
        if replayed {
            response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        Ok(response)
    }

    /// A place in the queue, if there is one.
    fn wait(&self) -> Option<Waiting<'_>> {
        let queue = self.service.settings.queue + self.working.available_permits();
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.service.metrics.waiting.inc();
        Some(Waiting(self))
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let given = headers.get(header::AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
        let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
        // Hashes are compared in constant time.
        *token == blake3::hash(given)
    }
}

/// A place in the queue, given back when it is dropped.
struct Waiting<'a>(&'a App);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.service.metrics.waiting.dec();
    }
}

/// The routes. All need the token, except `/healthz` and `/readyz`, which tell nothing of the plugins.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/score", post(score))
        .route("/v1/runs/{run}/rewards", post(reward))
        .route("/v1/runs/{run}", get(status))
        .route("/v1/openrlhf", post(of_openrlhf))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .method_not_allowed_fallback(async |id: axum::Extension<RequestId>| refuse(&Refusal::MethodNotAllowed, &id))
        .fallback(async |id: axum::Extension<RequestId>| {
            refuse(&Refusal::NotFound("nothing is at this path; /openapi.json lists what there is".into()), &id)
        })
        .layer(from_fn_with_state(Arc::clone(&app), around))
        .with_state(app)
}

/// Names a request, asks for its token, and tells of it.
async fn around(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let given = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    let usable = |id: &&str| (1..=128).contains(&id.len()) && id.chars().all(|c| c.is_ascii_graphic());
    let id = given
        .filter(usable)
        .map_or_else(|| format!("{}-{:x}", app.id_prefix, app.ids.fetch_add(1, Ordering::Relaxed)), str::to_owned);
    let id = RequestId(id);
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    request.extensions_mut().insert(id.clone());
    let open = matches!(route.as_str(), "/healthz" | "/readyz");
    let mut response = match open || app.is_authorized(request.headers()) {
        true => next.run(request).await,
        false => refuse(&Refusal::Unauthorized, &id),
    };
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert("x-request-id", value);
    }
    let (status, time) = (response.status().as_u16(), begun.elapsed());
    app.service.metrics.request(&route, status, time);
    let error = response.extensions_mut().remove::<Reason>().map(|reason| reason.0);
    (app.observer)(&ServeEvent::Request(&RequestLine {
        time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        request_id: id.0,
        method,
        path,
        status,
        ms: time.as_secs_f64() * 1000.0,
        error,
    }));
    response
}

/// The reason of a refusal, for the log.
#[derive(Debug, Clone)]
struct Reason(String);

fn refuse(refusal: &Refusal, id: &RequestId) -> Response {
    let mut response = refusal.response(&id.0);
    response.extensions_mut().insert(Reason(refusal.reason()));
    response
}

fn json(body: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

type Id = axum::Extension<RequestId>;

fn answered(answer: Result<Response, Refusal>, id: &RequestId) -> Response {
    answer.unwrap_or_else(|refusal| refuse(&refusal, id))
}

/// Score questions that stand alone
#[utoipa::path(post, path = "/v1/score", request_body = wire::Questions, responses(
    (status = 200, body = wire::Results), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
async fn score(State(app): State<Arc<App>>, id: Id, request: Request) -> Response {
    let answer = app.work(request.into_body(), |service, body| service.score(body)).await;
    answered(answer, &id)
}

/// Score questions of a run, whose targets move
#[utoipa::path(post, path = "/v1/runs/{run}/rewards", request_body = wire::Questions,
    params(
        ("run" = String, Path, description = "The run's name: 1 to 64 letters, digits, hyphens, underscores and dots"),
        ("Idempotency-Key" = Option<String>, Header,
            description = "The same key with the same body gets the same answer again, and moves nothing")),
    responses((status = 200, body = wire::Results), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
async fn reward(State(app): State<Arc<App>>, id: Id, Path(run): Path<String>, request: Request) -> Response {
    let key = match idempotency_key(request.headers()) {
        Ok(key) => key,
        Err(refusal) => return refuse(&refusal, &id),
    };
    let answer = app.work(request.into_body(), move |service, body| service.reward(&run, body, key)).await;
    answered(answer, &id)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=128).contains(&text.len()));
    let wrong = || Refusal::Unprocessable("an `Idempotency-Key` has 1 to 128 visible ASCII characters".into());
    text.map(|text| Some(text.to_owned())).ok_or_else(wrong)
}

/// The state of a run
#[utoipa::path(get, path = "/v1/runs/{run}", params(("run" = String, Path, description = "The run's name")),
    responses((status = 200, body = wire::RunStatus), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
async fn status(State(app): State<Arc<App>>, id: Id, Path(run): Path<String>) -> Response {
    let status = tokio::task::spawn_blocking(move || app.service.status(&run)).await;
    let status = status.unwrap_or_else(|error| Err(Refusal::Internal(format!("a thread ended: {error}"))));
    answered(status.map(json), &id)
}

/// Score samples in the format of OpenRLHF's remote reward model
#[utoipa::path(post, path = "/v1/openrlhf", request_body = openrlhf::Samples, responses(
    (status = 200, body = openrlhf::Rewards), (status = "4XX", body = Problem), (status = "5XX", body = Problem)))]
async fn of_openrlhf(State(app): State<Arc<App>>, id: Id, request: Request) -> Response {
    let answer = app.work(request.into_body(), |service, body| service.openrlhf(body)).await;
    answered(answer, &id)
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.service.metrics.text()).into_response()
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.service.failing().as_slice() {
        [] => "ready\n".into_response(),
        // Names and counts are in /metrics, which needs the token: this path needs none.
        failing => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{} plugins fail too often\n", failing.len())).into_response()
        }
    }
}

async fn openapi() -> Response {
    json(Api::openapi().to_json().expect("the description is plain data"))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "alft serve",
        description = "Rewards and advantages of groups of completions, by the plugins of a run file."
    ),
    paths(score, reward, status, of_openrlhf),
    components(schemas(wire::Asked, wire::Scored))
)]
struct Api;
