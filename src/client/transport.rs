//! The two ways to a gateway, behind one set of verbs: the files of its home, or its HTTP endpoint.

use super::chain::{Chain, InHand};
use super::files::Files;
use super::http::Http;
use super::marker::MarkerDrain;
use super::text::quoted;
use super::watch::GatewayView;
use super::{Failure, Interrupt, Status};
use crate::control::Home;
use crate::control::read::Stamp;
use crate::environment;
use crate::hold::{Incarnation, Nonce, Outcome, Request, RequestId};
use crate::wire::Verb;
use core::fmt;
use std::time::{Duration, Instant};

/// Where a gateway is to be found. Cheap to clone.
///
/// ```
/// use gateway_drain::{Home, client::Gateway};
///
/// let here = Gateway::at(Home::at("/var/lib/gateway"));
/// let there = Gateway::over_http("http://127.0.0.1:8080", Some("a-secret-of-many-characters".into()))?;
/// assert!(Gateway::over_http("gopher://old", None).is_err());
/// assert!(!format!("{there:?}").contains("secret"));
/// # Ok::<(), gateway_drain::client::Failure>(())
/// ```
#[derive(Clone)]
pub struct Gateway {
    way: Transport,
}

#[derive(Clone)]
enum Transport {
    Files(Files),
    Http(Http),
}

/// What lay in the place of the status at one moment, where that can be seen.
///
/// It costs a system call, and a wait takes one every few milliseconds. A watch by inotify would cost less until the wait is
/// over, and then more than all of them: the kernel takes some 15 ms to give one up, and the process can't end before that
/// (decision 21).
#[derive(PartialEq)]
pub(super) enum Glance {
    /// Over HTTP.
    Unseen,
    Nothing,
    Status(Stamp),
}

/// The status is glanced at so often at first, and later.
const OFTEN: Duration = Duration::from_millis(1);
const SELDOM: Duration = Duration::from_millis(4);
const OFTEN_FOR: Duration = Duration::from_millis(100);

/// A request that was written.
#[derive(Clone, Debug)]
pub(super) struct WriteReceipt {
    /// By which nonce the gateway acknowledges it.
    pub(super) nonce: Nonce,
    /// How long the hold lasts by it, if that is known.
    pub(super) lease: Option<Duration>,
    /// When the gateway first saw the hold, if it has acknowledged the write and says so.
    pub(super) first_seen: Option<u64>,
    /// It has done so already.
    pub(super) answered: bool,
    /// It has not, and is to be asked again.
    pub(super) repeat: bool,
}

/// What stands under a hold's name.
#[derive(Clone, Debug)]
pub(super) struct StoredRequest {
    /// As it was asked for last, with the nonce of that write.
    pub(super) request: Request,
    /// When the gateway first saw it, as far as that is known.
    pub(super) first_seen: Option<u64>,
    /// The gateway has granted its commit, or has yet to answer one.
    pub(super) committed: bool,
}

/// What a withdrawal or an override came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withdrawal {
    /// There was nothing to end.
    Nothing,
    /// What stands there is another's, who has begun a hold under the same name.
    NotOurs,
    /// It is written, and the gateway has yet to notice.
    Written,
    /// It has taken effect.
    Done,
}

impl Gateway {
    /// The variable that holds the endpoint's bearer token.
    pub const SECRET_VARIABLE: &str = environment::SECRET;

    /// The reference's variable for it, read where [`SECRET_VARIABLE`](Self::SECRET_VARIABLE) isn't set.
    pub const REFERENCE_SECRET_VARIABLE: &str = environment::REFERENCE_SECRET;

    /// The variable that names a file of PEM certificates. With feature `tls`, those are the authorities that an `https://`
    /// address is trusted by; without the variable, Mozilla's are.
    pub const ROOTS_VARIABLE: &str = "SSL_CERT_FILE";

    /// The gateway of this home, by its files.
    #[must_use]
    pub fn at(home: Home) -> Self {
        Self { way: Transport::Files(Files::new(home)) }
    }

    /// The gateway, or the dashboard of one, that answers under this address; `secret` is the bearer token.
    ///
    /// # Errors
    /// [`Failure::Usage`] for an address that can't be used, or [certificates](Self::ROOTS_VARIABLE) that can't be read.
    pub fn over_http(url: &str, secret: Option<String>) -> Result<Self, Failure> {
        Ok(Self { way: Transport::Http(Http::new(url, secret)?) })
    }

    /// What the gateway publishes of itself. Nobody waits for it: where connections are refused, it is asked for a second at
    /// most.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] if it can't be asked. That no gateway lives there is an answer, not an error.
    pub fn status(&self) -> Result<Status, Failure> {
        match &self.way {
            Transport::Files(files) => files.status(),
            Transport::Http(http) => http.in_passing().status(),
        }
    }

    /// The same, for one who waits for the gateway.
    pub(super) fn status_in_time(&self) -> Result<Status, Failure> {
        match &self.way {
            Transport::Files(files) => files.status(),
            Transport::Http(http) => http.status(),
        }
    }

    /// How to name this gateway on the command line, for messages: quoted for a shell.
    #[must_use]
    pub fn as_arguments(&self) -> String {
        match &self.way {
            Transport::Files(files) => format!("--home {}", quoted(&files.home().path().to_string_lossy())),
            Transport::Http(http) => format!("--url {}", quoted(http.url())),
        }
    }

    /// Whether an endpoint is asked: what is sent may arrive without an answer, and nothing is left for a later process.
    pub(crate) fn is_over_http(&self) -> bool {
        matches!(self.way, Transport::Http(_))
    }

    /// Which process lives there now, to bind a hold to.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] if none does or it can't be asked.
    pub fn incarnation(&self) -> Result<Incarnation, Failure> {
        match &self.way {
            Transport::Files(files) => files.incarnation(),
            Transport::Http(http) => http.incarnation(),
        }
    }

    /// Its home, where it is asked by its files.
    #[cfg(feature = "fleet")]
    pub(crate) fn home_path(&self) -> Option<&std::path::Path> {
        match &self.way {
            Transport::Files(files) => Some(files.home().path()),
            Transport::Http(_) => None,
        }
    }

    /// Its address, where it is asked over HTTP.
    #[cfg(feature = "fleet")]
    pub(crate) fn url(&self) -> Option<&str> {
        match &self.way {
            Transport::Files(_) => None,
            Transport::Http(http) => Some(http.url()),
        }
    }

    /// What its own readiness probe says, where it has one.
    #[cfg(feature = "fleet")]
    pub(crate) fn unready(&self) -> Result<(), Failure> {
        match &self.way {
            Transport::Files(_) => Ok(()),
            Transport::Http(http) => http.unready(),
        }
    }

    /// What isn't answered by the endpoint itself is asked again for so long, and no answer is waited for longer.
    pub(crate) fn be_patient_for(&mut self, patience: Duration) {
        if let Transport::Http(http) = &mut self.way {
            http.endpoint_mut().be_patient_for(patience);
        }
    }

    /// Lets somebody else stop the asking.
    pub(crate) fn be_interrupted_by(&mut self, interrupt: Interrupt) {
        if let Transport::Http(http) = &mut self.way {
            http.endpoint_mut().be_interrupted_by(interrupt);
        }
    }

    /// The same gateway, for a loop that looks again by itself and counts the silence over all that it asks: each request is
    /// sent once.
    pub(crate) fn once(&self) -> Self {
        let way = match &self.way {
            Transport::Files(files) => Transport::Files(files.clone()),
            Transport::Http(http) => Transport::Http(http.once()),
        };
        Self { way }
    }

    /// What this gateway is known by in records of its controllers.
    pub(super) fn name(&self) -> String {
        match &self.way {
            Transport::Files(files) => {
                let path = files.home().path();
                let whole = path.canonicalize().or_else(|_| std::path::absolute(path));
                format!("home {}", whole.unwrap_or_else(|_| path.to_owned()).display())
            }
            Transport::Http(http) => format!("url {}", http.url()),
        }
    }

    pub(super) fn look(&self, id: &RequestId) -> GatewayView {
        match &self.way {
            Transport::Files(files) => files.look(id),
            Transport::Http(http) => http.look(id),
        }
    }

    /// What to [pause](Self::pause) with, from before a look.
    pub(super) fn glance(&self) -> Glance {
        match &self.way {
            Transport::Files(files) => files.glance().map_or(Glance::Nothing, Glance::Status),
            Transport::Http(_) => Glance::Unseen,
        }
    }

    /// Pauses before the next look at a hold: for so long, until it is interrupted, or until the gateway has published since
    /// `before`, or over HTTP says that it is drained. That only hastens the look.
    pub(super) fn pause(&self, id: &RequestId, interrupt: &Interrupt, before: &Glance, time: Duration) {
        if let Transport::Http(http) = &self.way {
            return http.pause(id, interrupt, time);
        }
        let began = Instant::now();
        loop {
            let paused = began.elapsed();
            let left = time.saturating_sub(paused);
            let often = if paused < OFTEN_FOR { OFTEN } else { SELDOM };
            if left.is_zero() || interrupt.pause(often.min(left)) || self.glance() != *before {
                return;
            }
        }
    }

    /// What stands under this name and is this owner's; none if nothing does that holds or could.
    pub(super) fn find(&self, id: &RequestId, owner: &str) -> Result<Option<StoredRequest>, Failure> {
        match &self.way {
            Transport::Files(files) => files.find(id, owner),
            Transport::Http(http) => http.find(id, owner),
        }
    }

    /// Why there is nothing to [find](Self::find) there, as far as that is known.
    pub(super) fn how_it_ended(&self, id: &RequestId, owner: &str) -> Failure {
        match &self.way {
            Transport::Files(files) => files.how_it_ended(id, owner),
            Transport::Http(_) => super::files::no_such_hold(),
        }
    }

    pub(super) fn begin(&self, request: &Request) -> Result<WriteReceipt, Failure> {
        match &self.way {
            Transport::Files(files) => files.begin(request),
            Transport::Http(http) => http.begin(request),
        }
    }

    pub(super) fn renew(&self, request: &Request, in_hand: &InHand) -> Result<WriteReceipt, Failure> {
        match &self.way {
            Transport::Files(files) => files.renew(request, in_hand),
            Transport::Http(http) => http.renew(request, in_hand),
        }
    }

    /// Whether another write lies in the place of ours by now, and these answers have that one and not ours. The endpoint looks after
    /// that by itself.
    pub(super) fn is_replaced(&self, id: &RequestId, ours: &Nonce, answers: &[(Option<Nonce>, Outcome)]) -> bool {
        match &self.way {
            Transport::Files(files) => files.is_replaced(id, ours, answers),
            Transport::Http(_) => false,
        }
    }

    /// Sees to it that no renewal of the chain outlives the hold that has ended. The endpoint does that by itself.
    pub(super) fn take_back(&self, id: &RequestId, ours: &Chain) {
        if let Transport::Files(files) = &self.way {
            files.take_back(id, ours);
        }
    }

    /// Reserves the space that a withdrawal will take, so that an act that fills the disk can still be ended. Over HTTP the
    /// endpoint writes it, and on its own disk.
    pub(super) fn prepare(&self, withdrawal: &Request) -> Result<(), Failure> {
        match &self.way {
            Transport::Files(files) => files.prepare(withdrawal),
            Transport::Http(_) => Ok(()),
        }
    }

    /// Gives back what was reserved.
    pub(super) fn discard(&self, id: &RequestId) {
        if let Transport::Files(files) = &self.way {
            files.discard(id);
        }
    }

    pub(super) fn commit(&self, request: &Request, in_hand: &InHand) -> Result<WriteReceipt, Failure> {
        match &self.way {
            Transport::Files(files) => files.commit(request, in_hand),
            Transport::Http(http) => http.commit(request, in_hand),
        }
    }

    /// Sends what ends a hold: a withdrawal, or an override. With one in hand, that one only.
    pub(super) fn end(&self, request: &Request, ours: Option<&InHand>) -> Result<Withdrawal, Failure> {
        match &self.way {
            Transport::Files(files) => files.end(request, ours),
            Transport::Http(http) => http.end(request, ours),
        }
    }

    /// Writes the marker; `again` if it is there already and to be kept.
    pub(super) fn put_marker(&self, drain: &MarkerDrain, again: bool) -> Result<(), Failure> {
        match &self.way {
            Transport::Files(files) => {
                let begin = Request::begin(RequestId::marker(), drain.owner.clone());
                let request = Request { notes: drain.notes.clone(), ..begin };
                files.put_marker(&request.suppress_notification(drain.suppress_notification), again)
            }
            Transport::Http(http) => http.marker(Verb::Drain, drain.suppress_notification),
        }
    }

    pub(super) fn remove_marker(&self, owner: &str) -> Result<(), Failure> {
        match &self.way {
            Transport::Files(files) => files.remove_marker(owner),
            Transport::Http(http) => http.marker(Verb::Cancel, false),
        }
    }

    /// When the gateway first saw the hold of this name, which tells it from one that is begun later. The endpoint is not asked: it
    /// answers the end of a hold by itself.
    pub(super) fn first_seen(&self, id: &RequestId) -> Option<u64> {
        match &self.way {
            Transport::Files(files) => files.first_seen(id),
            Transport::Http(_) => None,
        }
    }

    /// Whether what was [written](Withdrawal::Written) to end the hold that was first seen then has taken effect.
    pub(super) fn has_ended(&self, request: &Request, first_seen: Option<u64>) -> Result<bool, Failure> {
        match &self.way {
            Transport::Files(files) => files.has_ended(request, first_seen),
            Transport::Http(http) => http.has_ended(request),
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gateway").field(&self.as_arguments()).finish()
    }
}
