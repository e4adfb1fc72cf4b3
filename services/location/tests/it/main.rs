//! Location as a whole: the real `App` over gRPC, by a clock that the test moves.

mod city;
mod nearby;
mod nonsense;
mod pings;
mod supply;
