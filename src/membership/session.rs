//! The session as a state machine: what has to be done when it comes, wavers and goes.
//!
//! Pure: events in, actions out; [`super::watches`] carries them out.

/// What ZooKeeper's client tells.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A session stands, with this id.
    Connected(i64),
    /// The connection is lost; the session may live on.
    Disconnected,
    /// The connection is back, the session the same.
    Reconnected,
    /// The session is over.
    Expired,
    /// The registration is done.
    Registered,
}

/// What to do about it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Register in the new session; a leftover of `previous` (0 = none) is our own.
    Register {
        /// The session before.
        previous: i64,
    },
    /// Read again all that is watched: changes were missed.
    ReadAgain,
    /// Stop being controller at once.
    LeaveOffice,
    /// Stand for election.
    StandForElection,
    /// Look who is controller.
    LookAtOffice,
}

/// Where the session stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// No session.
    None,
    /// A session without registration yet.
    Registering,
    /// Registered and connected.
    Registered,
    /// Registered; the connection is lost.
    Wavering,
}

/// The machine.
#[derive(Debug)]
pub struct Session {
    state: State,
    current: i64,
    previous: i64,
}

impl Default for Session {
    fn default() -> Session {
        Session { state: State::None, current: 0, previous: 0 }
    }
}

impl Session {
    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Takes an event.
    pub fn on(&mut self, event: Event) -> Vec<Action> {
        match (self.state, event) {
            (_, Event::Connected(id)) if id == self.current => vec![],
            (state, Event::Connected(id)) => {
                self.previous = self.current;
                self.current = id;
                self.state = State::Registering;
                let mut actions = Vec::new();
                if state == State::Registered || state == State::Wavering {
                    // The end of the old session went unheard; it is over all the same.
                    actions.push(Action::LeaveOffice);
                }
                actions.extend([Action::Register { previous: self.previous }, Action::ReadAgain]);
                actions
            }
            (State::Registering, Event::Registered) => {
                self.state = State::Registered;
                vec![Action::StandForElection]
            }
            (State::Registered, Event::Disconnected) => {
                self.state = State::Wavering;
                vec![]
            }
            (State::Wavering, Event::Reconnected) => {
                self.state = State::Registered;
                vec![Action::ReadAgain, Action::LookAtOffice]
            }
            (State::Registering | State::Registered, Event::Reconnected) => {
                vec![Action::ReadAgain, Action::LookAtOffice]
            }
            (State::None, Event::Expired) => vec![],
            (_, Event::Expired) => {
                self.state = State::None;
                vec![Action::LeaveOffice]
            }
            (_, Event::Registered | Event::Disconnected | Event::Reconnected) => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_comes_wavers_goes_and_comes_again() {
        let mut session = Session::default();
        assert_eq!(session.on(Event::Connected(7)), [Action::Register { previous: 0 }, Action::ReadAgain]);
        assert_eq!(session.on(Event::Connected(7)), [], "told twice");
        assert_eq!(session.on(Event::Registered), [Action::StandForElection]);
        assert_eq!(session.on(Event::Disconnected), []);
        assert_eq!(session.state(), State::Wavering);
        assert_eq!(session.on(Event::Reconnected), [Action::ReadAgain, Action::LookAtOffice]);
        assert_eq!(session.on(Event::Expired), [Action::LeaveOffice]);
        assert_eq!(session.on(Event::Expired), []);
        assert_eq!(session.on(Event::Connected(8)), [Action::Register { previous: 7 }, Action::ReadAgain]);
    }

    #[test]
    fn an_unheard_expiry_still_ends_the_reign() {
        let mut session = Session::default();
        session.on(Event::Connected(7));
        session.on(Event::Registered);
        session.on(Event::Disconnected);
        let actions = session.on(Event::Connected(8));
        assert_eq!(actions, [Action::LeaveOffice, Action::Register { previous: 7 }, Action::ReadAgain]);
        assert_eq!(session.on(Event::Registered), [Action::StandForElection]);
    }

    #[test]
    fn a_late_registration_of_a_dead_session_changes_nothing() {
        let mut session = Session::default();
        session.on(Event::Connected(7));
        session.on(Event::Expired);
        assert_eq!(session.on(Event::Registered), []);
        assert_eq!(session.state(), State::None);
    }
}
