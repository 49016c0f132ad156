//! LeaveGroup: members go, one or many, by member id or (administrators) by instance id.
//!
//! Source: `GroupCoordinator.handleLeaveGroup`; KIP-345.

use super::super::command::{LeaveGroup, LeavingMember};
use super::super::shard::Step;
use super::group::Group;
use crate::protocol::error_code::ErrorCode;

impl Group {
    /// Removes who leaves, and answers each.
    pub fn leave(&mut self, step: &mut Step<'_>, request: LeaveGroup) -> Vec<(LeavingMember, ErrorCode)> {
        let mut answers = Vec::with_capacity(request.members.len());
        for member in request.members {
            let error = self.leave_one(step, &member);
            answers.push((member, error));
        }
        answers
    }

    fn leave_one(&mut self, step: &mut Step<'_>, leaving: &LeavingMember) -> ErrorCode {
        let instance_id = leaving.group_instance_id.as_deref();
        if leaving.member_id.is_empty() {
            let Some(holder) = instance_id.and_then(|instance| self.instances.get(instance)).cloned() else {
                return ErrorCode::UnknownMemberId;
            };
            self.expel(step, &holder);
            return ErrorCode::None;
        }
        if self.rebalance.pending.contains(leaving.member_id.as_str()) {
            self.remove(step, &leaving.member_id);
            self.try_complete_join(step);
            return ErrorCode::None;
        }
        if let Err(error) = self.check_member(&leaving.member_id, instance_id) {
            return error;
        }
        self.expel(step, &leaving.member_id);
        ErrorCode::None
    }
}
