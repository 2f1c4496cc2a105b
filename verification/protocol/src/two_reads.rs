//! Why a look at a home is one step of the model, though production reads the lock and the status one after the other.
//!
//! The client asks who lives and then reads the status; the endpoint reads the status and then asks who lives. Either
//! believes a status only of the process that it found alive. Whatever happens between the two reads, that process lived
//! and that very status lay there at one moment from the first read to the second: what the reader concludes, it could
//! have concluded in one step at that moment, and the model lets it.

/// What happens to a home.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A process takes the lock.
    Start,
    /// The process that has the lock writes a status.
    Publish,
    /// It is gone, and its lock with it.
    Die,
    /// Somebody removes the status.
    Remove,
}

/// A home: the process that has its lock, and the status that lies there, by its writer and its number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Home {
    live: Option<u8>,
    status: Option<(u8, u8)>,
    starts: u8,
    publications: u8,
}

impl Home {
    fn after(self, event: Event) -> Option<Self> {
        match (event, self.live) {
            (Event::Start, None) => Some(Self { live: Some(self.starts), starts: self.starts + 1, ..self }),
            (Event::Publish, Some(live)) => {
                let status = Some((live, self.publications));
                Some(Self { status, publications: self.publications + 1, ..self })
            }
            (Event::Die, Some(_)) => Some(Self { live: None, ..self }),
            (Event::Remove, _) if self.status.is_some() => Some(Self { status: None, ..self }),
            _ => None,
        }
    }
}

/// Calls this for every history of so many events, which is given by what the home was from the first to the last.
fn for_each_history(events: usize, home: &mut Vec<Home>, call: &mut impl FnMut(&[Home])) {
    call(home);
    if events == 0 {
        return;
    }
    let now = home[home.len() - 1];
    for event in [Event::Start, Event::Publish, Event::Die, Event::Remove] {
        if let Some(next) = now.after(event) {
            home.push(next);
            for_each_history(events - 1, home, call);
            home.pop();
        }
    }
}

/// Whether each status that a reader believes, whose two reads are the first and the last of a history, lay there while its
/// writer lived, at one moment of that.
fn are_one_step(believes: impl Fn(u8, (u8, u8)) -> bool) -> bool {
    let mut all = true;
    for_each_history(9, &mut vec![Home::default()], &mut |history| {
        for begins in 0..history.len() {
            let (first, last) = (history[begins], history[history.len() - 1]);
            for (live, status) in [(first.live, last.status), (last.live, first.status)] {
                let Some((live, status)) = live.zip(status).filter(|(live, status)| believes(*live, *status)) else {
                    continue;
                };
                let at_once = |home: &Home| home.live == Some(live) && home.status == Some(status);
                all &= history[begins..].iter().any(at_once);
            }
        }
    });
    all
}

#[test]
fn what_a_reader_finds_of_the_process_that_lives_was_so_at_one_moment_in_either_order() {
    assert!(are_one_step(|live, (writer, _)| live == writer));
}

#[test]
fn a_reader_that_does_not_ask_whose_status_it_is_finds_what_never_was() {
    assert!(!are_one_step(|_, _| true));
}
