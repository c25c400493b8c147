//! What a driver around another leaves to that one.

/// In an implementation of [`Driver`](crate::driver::Driver): its methods of these names are those of the driver in the
/// field before the colon. `leave_to!(inner: pool, receive_pool, address);`
#[macro_export]
macro_rules! leave_to {
    ($inner:tt: $($method:ident),+) => {
        $($crate::leave_to!(@ $method $inner);)+
    };
    (@ pool $inner:tt) => {
        fn pool(&self) -> &$crate::pool::Pool {
            self.$inner.pool()
        }
    };
    (@ receive_pool $inner:tt) => {
        fn receive_pool(&self) -> &$crate::pool::Pool {
            self.$inner.receive_pool()
        }
    };
    (@ receive $inner:tt) => {
        fn receive(
            &mut self,
            now: u64,
            limit: usize,
            into: &mut Vec<$crate::driver::Received>,
        ) -> usize {
            self.$inner.receive(now, limit, into)
        }
    };
    (@ transmit $inner:tt) => {
        fn transmit(
            &mut self,
            now: u64,
            frames: &mut std::collections::VecDeque<$crate::driver::Outgoing>,
        ) {
            self.$inner.transmit(now, frames);
        }
    };
    (@ reclaim $inner:tt) => {
        fn reclaim(&mut self) {
            self.$inner.reclaim();
        }
    };
    (@ address $inner:tt) => {
        fn address(&self) -> std::net::SocketAddr {
            self.$inner.address()
        }
    };
    (@ payload_bytes_max $inner:tt) => {
        fn payload_bytes_max(&self) -> usize {
            self.$inner.payload_bytes_max()
        }
    };
    (@ descriptors $inner:tt) => {
        fn descriptors(&mut self, into: &mut Vec<std::os::fd::RawFd>) {
            self.$inner.descriptors(into);
        }
    };
    (@ counters $inner:tt) => {
        fn counters(&self) -> $crate::driver::Counters {
            self.$inner.counters()
        }
    };
    (@ mode $inner:tt) => {
        fn mode(&self) -> String {
            self.$inner.mode()
        }
    };
}
