use gateway_drain::DrainState;
use gateway_drain::conformance::{Gateway, Holder, Snapshot};
use gateway_drain::properties::PropertyId;
use gateway_drain_conformance_example::{Job, Jobs, Mode};

struct Adapter(Jobs);

impl Gateway for Adapter {
    type Permit = Job;
    type Guard = ();

    fn fresh() -> (Self, ()) {
        (Self(Jobs::default()), ())
    }

    fn skip(property: PropertyId) -> Option<&'static str> {
        match property {
            PropertyId::H1 | PropertyId::H2 => Some("one call resumes it for all"),
            _ => None,
        }
    }

    fn admit(&self) -> Option<Job> {
        self.0.start()
    }

    fn snapshot(&self) -> Snapshot {
        let (mode, in_flight) = self.0.look();
        let state = match mode {
            Mode::Open => DrainState::Running,
            Mode::Paused => DrainState::ExternalDraining,
            Mode::Closing => DrainState::ShutdownDraining,
            Mode::Closed => DrainState::Stopped,
        };
        Snapshot { state, in_flight, drained: mode != Mode::Open && in_flight == 0, abandoned: 0 }
    }

    fn begin(&self, _: Holder) {
        self.0.pause();
    }

    fn end(&self, _: Holder) {
        self.0.resume();
    }

    fn shut_down(&self) {
        self.0.close();
    }

    fn stop(&self) {
        self.0.end();
    }
}

gateway_drain::conformance!(Adapter);
