//! A server of a test: each connection has a thread of its own, and none of them outlives it.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;

/// Accepts connections on loopback until it is dropped. Then every connection is cut, and every thread has ended.
pub struct Acceptor {
    pub address: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    open: Mutex<Vec<Weak<TcpStream>>>,
}

/// One connection, and what its thread opens to serve it.
pub struct Connection {
    pub client: Arc<TcpStream>,
    shared: Arc<Shared>,
}

impl Acceptor {
    pub fn start(serve: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (shared, serve) = (Arc::new(Shared::default()), Arc::new(serve));
        let accepting = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut threads: Vec<JoinHandle<()>> = Vec::new();
            for stream in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::SeqCst) {
                    break;
                }
                threads.retain(|thread| !thread.is_finished());
                let connection = Connection { client: accepting.keep(stream), shared: Arc::clone(&accepting) };
                let serve = Arc::clone(&serve);
                threads.push(std::thread::spawn(move || serve(connection)));
            }
            for thread in threads {
                // One that panicked has said so.
                let _ = thread.join();
            }
        });
        Self { address, shared, thread: Some(thread) }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for stream in self.shared.streams().iter().filter_map(Weak::upgrade) {
            // The other side may have closed it.
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the thread from its wait for a connection.
        let _ = TcpStream::connect(&self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn streams(&self) -> std::sync::MutexGuard<'_, Vec<Weak<TcpStream>>> {
        self.open.lock().expect("nobody panicked")
    }

    /// Has it cut at the end, also if that comes right now.
    fn keep(&self, stream: TcpStream) -> Arc<TcpStream> {
        let stream = Arc::new(stream);
        let mut open = self.streams();
        open.retain(|stream| stream.strong_count() > 0);
        open.push(Arc::downgrade(&stream));
        drop(open);
        if self.has_ended() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        stream
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

impl Connection {
    /// A connection to a server behind, which is cut as well.
    pub fn connect(&self, to: &str) -> std::io::Result<Arc<TcpStream>> {
        Ok(self.shared.keep(TcpStream::connect(to)?))
    }

    /// Whether its server is about to go.
    pub fn has_ended(&self) -> bool {
        self.shared.has_ended()
    }
}
