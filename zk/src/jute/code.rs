//! Request types and error codes, by ZooKeeper's numbers.
//!
//! Source: `ZooDefs.OpCode` and `KeeperException.Code` of ZooKeeper 3.9. Knows no record.

use super::wire::{Field, Reader, WireError, Writer};

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$meta])*
        #[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// The number on the wire.
            pub fn number(self) -> i32 {
                match self { $($name::$variant => $number,)* }
            }

            /// The meaning of a number, if it has one.
            pub fn from_number(number: i32) -> Option<$name> {
                match number { $($number => Some($name::$variant),)* _ => None }
            }
        }
    };
}

numbered! {
    /// What a request asks for.
    OpCode {
        /// Create, answered with the path.
        Create = 1,
        /// Delete a node without children.
        Delete = 2,
        /// Stat of a node.
        Exists = 3,
        /// Data and stat.
        GetData = 4,
        /// Replace the data.
        SetData = 5,
        /// Read the access control list.
        GetAcl = 6,
        /// Replace the access control list.
        SetAcl = 7,
        /// Names of the children.
        GetChildren = 8,
        /// Wait until this server is up to date.
        Sync = 9,
        /// Keep the session alive.
        Ping = 11,
        /// Names of the children and stat.
        GetChildren2 = 12,
        /// Compare the version; inside a multi.
        Check = 13,
        /// Several writes, all or none.
        Multi = 14,
        /// Create, answered with path and stat.
        Create2 = 15,
        /// Change an ensemble's members.
        Reconfig = 16,
        /// Ask whether a watch is set.
        CheckWatches = 17,
        /// Take watches away.
        RemoveWatches = 18,
        /// Create a node that goes when its last child has gone.
        CreateContainer = 19,
        /// Delete an empty container.
        DeleteContainer = 20,
        /// Create a node that goes when it was idle and empty for a time.
        CreateTtl = 21,
        /// Several reads, each with its own result.
        MultiRead = 22,
        /// Add an identity to the connection.
        Auth = 100,
        /// Set one-shot watches again after a reconnect.
        SetWatches = 101,
        /// SASL handshake.
        Sasl = 102,
        /// Paths of the session's ephemeral nodes.
        GetEphemerals = 103,
        /// Number of all descendants.
        GetAllChildrenNumber = 104,
        /// Set all kinds of watches again after a reconnect.
        SetWatches2 = 105,
        /// Add a persistent watch.
        AddWatch = 106,
        /// Identities of the connection.
        WhoAmI = 107,
        /// End the session.
        CloseSession = -11,
    }
}

numbered! {
    /// Why a request was refused.
    #[derive(PartialOrd, Ord)]
    ErrorCode {
        /// An earlier or later operation of the same multi failed.
        RuntimeInconsistency = -2,
        /// The request cannot be read, or its answer cannot be written.
        MarshallingError = -5,
        /// This server does not do that.
        Unimplemented = -6,
        /// An argument is not valid.
        BadArguments = -8,
        /// There is no such node.
        NoNode = -101,
        /// The access control list does not allow it.
        NoAuth = -102,
        /// The node has another version.
        BadVersion = -103,
        /// An ephemeral node has no children.
        NoChildrenForEphemerals = -108,
        /// The node is there already.
        NodeExists = -110,
        /// The node has children.
        NotEmpty = -111,
        /// The session is over.
        SessionExpired = -112,
        /// The access control list is not valid.
        InvalidAcl = -114,
        /// The identity was not proven.
        AuthFailed = -115,
        /// The session is on another connection now.
        SessionMoved = -118,
        /// There is no such watch.
        NoWatcher = -121,
        /// More than a limit allows.
        QuotaExceeded = -125,
        /// The server has more to do than it can.
        Throttled = -127,
    }
}

/// A request type outside this list is an error.
impl Field for OpCode {
    const MIN_BYTES: usize = 4;
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let number = i32::read(reader)?;
        OpCode::from_number(number).ok_or(WireError::UnknownOp(number))
    }
    fn write(&self, writer: &mut Writer) {
        self.number().write(writer);
    }
}
