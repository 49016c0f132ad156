//! The stop signal: one side asks, every task hears it.

use tokio::sync::watch;

/// Asks for the stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// A connected pair.
pub fn stop_pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Asks everyone who holds a [`Stop`] to end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether the stop has been asked for.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves once the stop is asked for, or when nobody is left who could ask.
    pub async fn requested(&mut self) {
        // An error means that the asker is gone: nobody will ask, and nobody wants us to go on.
        let _gone = self.0.wait_for(|stop| *stop).await;
    }
}
