//! The `ottla` binary: everything is in the library, so that tests can call it.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ottla::cli::main()
}
