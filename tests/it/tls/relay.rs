//! What goes over the wire between a program and a server.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// Who answers those that connect.
#[derive(Clone, Copy)]
pub(crate) enum Peer {
    /// The server at this port.
    Server(u16),
    /// Nobody: whatever is said first is answered with these bytes, and then with silence.
    Nobody(&'static [u8]),
}

/// Listens at a port of its own, and keeps what each client said. It goes on until the tests end.
pub(crate) struct Relay {
    port: u16,
    heard: Heard,
}

/// What each client said, in the order in which they came.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

impl Relay {
    /// Listens for clients of this peer.
    pub(crate) fn of(peer: Peer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let heard = Heard::default();
        let all = heard.clone();
        thread::spawn(move || {
            for (number, client) in listener.incoming().map_while(Result::ok).enumerate() {
                all.lock().unwrap_or_else(PoisonError::into_inner).push(Vec::new());
                let all = all.clone();
                thread::spawn(move || serve(client, peer, |bytes| keep(&all, number, bytes)));
            }
        });
        Self { port, heard }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What each client has said until now.
    pub(crate) fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn keep(all: &Heard, number: usize, bytes: &[u8]) {
    all.lock().unwrap_or_else(PoisonError::into_inner)[number].extend_from_slice(bytes);
}

/// Carries what is said until one side has ended. That a connection breaks is no fault.
fn serve(client: TcpStream, peer: Peer, heard: impl Fn(&[u8])) {
    match peer {
        Peer::Nobody(answer) => {
            let mut answer = Some(answer);
            carry(&client, |bytes| {
                heard(bytes);
                answer.take().is_none_or(|answer| (&client).write_all(answer).is_ok())
            });
        }
        Peer::Server(port) => {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
            let (to_client, to_server) = (&client, &server);
            thread::scope(|scope| {
                scope.spawn(|| {
                    carry(&server, |bytes| { to_client }.write_all(bytes).is_ok());
                    end(&client);
                });
                carry(&client, |bytes| {
                    heard(bytes);
                    { to_server }.write_all(bytes).is_ok()
                });
                end(&server);
            });
        }
    }
}

/// Hands on what comes until it ends or nobody takes it any more.
fn carry(mut from: &TcpStream, mut to: impl FnMut(&[u8]) -> bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !to(&buffer[..length]) {
            break;
        }
    }
}

/// Ends a connection, unless it has ended by itself.
fn end(connection: &TcpStream) {
    let _ = connection.shutdown(Shutdown::Both);
}
