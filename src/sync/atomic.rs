//! loom's atomics, with every access put in an order with every other. In place of `loom::sync::atomic`, by the same names.
//!
//! Of the accesses to an atomic loom remembers only the last, of any thread, and looks for races with that one alone. A
//! thread that loads and then exchanges so hides from loom that its exchange races with an earlier load of another thread,
//! and the executions in which it comes first are never explored: of a worker that counts up by compare-and-swap and down
//! again, loom's own atomics show a reader 0, and never 1. The counter beside each value here makes each access race with
//! each other one; relaxed, it orders nothing that the value's own orderings don't. More executions are explored for it.
//!
//! ```
//! #[cfg(loom)]
//! use gateway_drain::conformance::loom::atomic::{AtomicU64, Ordering};
//! #[cfg(not(loom))]
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! let word = AtomicU64::new(0);
//! # #[cfg(not(loom))]
//! assert_eq!(word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed), Ok(0));
//! ```

use ::loom::sync::atomic as checker;

pub use checker::{Ordering, fence};

macro_rules! counted {
    ($($name:ident: $value:ty, { $($change:ident),* };)*) => {
        $(
            #[doc = concat!("loom's `", stringify!($name), "`, of which no interleaving is lost.")]
            #[derive(Debug)]
            pub struct $name {
                value: checker::$name,
                accesses: checker::AtomicUsize,
            }

            impl $name {
                /// An atomic with this value.
                #[must_use]
                #[track_caller]
                pub fn new(value: $value) -> Self {
                    Self { value: checker::$name::new(value), accesses: checker::AtomicUsize::new(0) }
                }

                #[track_caller]
                fn access(&self) -> &checker::$name {
                    self.accesses.fetch_add(1, Ordering::Relaxed);
                    &self.value
                }

                /// As std's.
                #[track_caller]
                pub fn load(&self, order: Ordering) -> $value {
                    self.access().load(order)
                }

                /// As std's.
                #[track_caller]
                pub fn store(&self, value: $value, order: Ordering) {
                    self.access().store(value, order);
                }

                /// As std's.
                #[track_caller]
                pub fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.access().swap(value, order)
                }

                /// As std's.
                ///
                /// # Errors
                /// The value that was there, if it is another than `seen`.
                #[track_caller]
                pub fn compare_exchange(
                    &self,
                    seen: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.access().compare_exchange(seen, new, success, failure)
                }

                /// As std's; loom never fails it for no reason.
                ///
                /// # Errors
                /// As [`compare_exchange`](Self::compare_exchange).
                #[track_caller]
                pub fn compare_exchange_weak(
                    &self,
                    seen: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.access().compare_exchange_weak(seen, new, success, failure)
                }

                /// As std's: a load, and exchanges until one succeeds.
                ///
                /// # Errors
                /// The value for which `change` gave `None`.
                #[track_caller]
                pub fn fetch_update(
                    &self,
                    success: Ordering,
                    failure: Ordering,
                    mut change: impl FnMut($value) -> Option<$value>,
                ) -> Result<$value, $value> {
                    let mut seen = self.load(failure);
                    while let Some(next) = change(seen) {
                        match self.compare_exchange_weak(seen, next, success, failure) {
                            Ok(before) => return Ok(before),
                            Err(now) => seen = now,
                        }
                    }
                    Err(seen)
                }

                $(
                    /// As std's.
                    #[track_caller]
                    pub fn $change(&self, value: $value, order: Ordering) -> $value {
                        self.access().$change(value, order)
                    }
                )*

                /// The value, from its sole owner.
                #[must_use]
                #[track_caller]
                pub fn into_inner(self) -> $value {
                    self.value.into_inner()
                }
            }

            impl Default for $name {
                fn default() -> Self {
                    Self::new(<$value>::default())
                }
            }

            impl From<$value> for $name {
                fn from(value: $value) -> Self {
                    Self::new(value)
                }
            }
        )*
    };
}

counted! {
    AtomicBool: bool, { fetch_and, fetch_nand, fetch_or, fetch_xor };
    AtomicU8: u8, { fetch_add, fetch_sub, fetch_and, fetch_nand, fetch_or, fetch_xor, fetch_max, fetch_min };
    AtomicU16: u16, { fetch_add, fetch_sub, fetch_and, fetch_nand, fetch_or, fetch_xor, fetch_max, fetch_min };
    AtomicU32: u32, { fetch_add, fetch_sub, fetch_and, fetch_nand, fetch_or, fetch_xor, fetch_max, fetch_min };
    AtomicU64: u64, { fetch_add, fetch_sub, fetch_and, fetch_nand, fetch_or, fetch_xor, fetch_max, fetch_min };
    AtomicUsize: usize, { fetch_add, fetch_sub, fetch_and, fetch_nand, fetch_or, fetch_xor, fetch_max, fetch_min };
    AtomicI32: i32, { fetch_add, fetch_sub, fetch_and, fetch_nand, fetch_or, fetch_xor, fetch_max, fetch_min };
    AtomicI64: i64, { fetch_add, fetch_sub, fetch_and, fetch_nand, fetch_or, fetch_xor, fetch_max, fetch_min };
    AtomicIsize: isize, { fetch_add, fetch_sub, fetch_and, fetch_nand, fetch_or, fetch_xor, fetch_max, fetch_min };
}
