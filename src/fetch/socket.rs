//! A server's socket. Once a stream is under way it is looked at a few times a second, in place of at every packet that
//! arrives, and all of them are looked at together: the kernel keeps what comes meanwhile, and the executor sleeps.

use crate::clock::Alarm;
use std::cell::Cell;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How long the socket may be left alone, in milliseconds; none: it is heard at once.
pub(super) type Pace = Rc<Cell<Option<u64>>>;

pub(super) struct Socket {
    state: State,
    pace: Pace,
}

enum State {
    /// The kernel tells of everything that arrives.
    Awake(TcpStream),
    /// The kernel tells of nothing. `is_empty`: not looked at again before the alarm.
    Asleep { stream: std::net::TcpStream, alarm: Alarm, is_empty: bool },
    /// It could not be put to sleep.
    Lost,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, pace: Pace) -> Self {
        Self { state: State::Awake(stream), pace }
    }

    fn fall_asleep(&mut self, pace_ms: u64) -> io::Result<()> {
        if let State::Awake(_) = self.state {
            if let State::Awake(stream) = std::mem::replace(&mut self.state, State::Lost) {
                let alarm = Alarm::new(pace_ms);
                self.state = State::Asleep { stream: stream.into_std()?, alarm, is_empty: false };
            }
        }
        Ok(())
    }

    /// Does `act` with a socket that sleeps, and waits for the alarm where it would block.
    fn try_asleep<T>(
        &mut self,
        context: &mut Context<'_>,
        mut act: impl FnMut(&mut &std::net::TcpStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let pace_ms = self.pace.get().unwrap_or_default();
        let State::Asleep { stream, alarm, is_empty } = &mut self.state else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        loop {
            if *is_empty {
                if alarm.poll(context).is_pending() {
                    return Poll::Pending;
                }
                *is_empty = false;
            }
            match act(&mut &*stream) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    alarm.set(pace_ms);
                    *is_empty = true;
                }
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(pace_ms) = self.pace.get() {
            self.fall_asleep(pace_ms)?;
        }
        if let State::Awake(stream) = &mut self.state {
            return Pin::new(stream).poll_read(context, into);
        }
        let room = into.remaining();
        let read = self.try_asleep(context, |stream| stream.read(into.initialize_unfilled()));
        let Poll::Ready(len) = read? else { return Poll::Pending };
        into.advance(len);
        let pace_ms = self.pace.get().unwrap_or_default();
        if let State::Asleep { alarm, is_empty, .. } = &mut self.state {
            // Less than there was room for: that was all.
            if len > 0 && len < room {
                alarm.set(pace_ms);
                *is_empty = true;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.state {
            State::Awake(stream) => Pin::new(stream).poll_write(context, bytes),
            State::Asleep { .. } | State::Lost => self.try_asleep(context, |stream| stream.write(bytes)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Awake(stream) => Pin::new(stream).poll_shutdown(context),
            State::Asleep { stream, .. } => Poll::Ready(stream.shutdown(Shutdown::Write)),
            State::Lost => Poll::Ready(Ok(())),
        }
    }
}
