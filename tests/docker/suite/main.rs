//! Ottla's image in a real engine: `scripts/test-docker`. Where there is no engine each test says so in one line and passes.

mod cases;
mod cluster;
mod compose;
mod dialects;
mod image;
