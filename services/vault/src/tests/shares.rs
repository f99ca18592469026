//! Steps, shares and their proofs: every wrong one is refused.

use super::kit::Holders;
use crate::context::{
    ContextError, HolderCommitment, OpenedShare, Step, assemble, first_point, verify_context_step,
    verify_walk,
};
use crate::sealing::{OpeningKey, SealingError, open_share, seal_share};
use rules::secret::Secret;

const LABEL: &str = "ctx/00000099000000001000/main/1";

struct Case {
    holders: Holders,
    commitments: Vec<HolderCommitment>,
    steps: Vec<Step>,
    shares: Vec<Secret<Vec<u8>>>,
}

impl Case {
    fn new() -> Self {
        let holders = Holders::new(2);
        let commitments = holders
            .0
            .iter()
            .map(|holder| holder.keys.commitment())
            .collect();
        let steps = holders.walk(LABEL);
        let shares = holders
            .0
            .iter()
            .map(|holder| holder.keys.context_share(LABEL).unwrap().to_secret())
            .collect();
        Self {
            holders,
            commitments,
            steps,
            shares,
        }
    }

    fn assemble(&self) -> Result<(), ContextError> {
        let opened: Vec<_> = (0..2)
            .map(|position| OpenedShare {
                holder: &self.commitments[position],
                step: &self.steps[position],
                share: &self.shares[position],
            })
            .collect();
        assemble(&opened).map(|_| ())
    }
}

/// Changes one thing in a case that holds, and expects the refusal.
#[track_caller]
fn check_refused(change: impl FnOnce(&mut Case), expected: ContextError) {
    let mut case = Case::new();
    case.assemble().unwrap();
    change(&mut case);
    assert_eq!(case.assemble().err(), Some(expected));
}

#[test]
fn wrong_walks_and_shares_are_refused() {
    use ContextError::{Malformed, ProofWrong, WalkBroken};
    check_refused(|case| case.commitments.swap(0, 1), ProofWrong);
    check_refused(|case| case.shares.swap(0, 1), ProofWrong);
    check_refused(|case| case.steps.swap(0, 1), WalkBroken);
    check_refused(
        |case| case.commitments[1] = Case::new().commitments[1],
        ProofWrong,
    );
    check_refused(|case| case.shares[1] = another_share(case, 1), ProofWrong);
    check_refused(
        |case| case.steps[0].proof = case.steps[1].proof.clone(),
        ProofWrong,
    );
    check_refused(|case| case.steps[1].previous = first_point(), WalkBroken);
    check_refused(|case| case.steps[1].point = first_point(), ProofWrong);
    check_refused(
        |case| case.steps[1].share_commitment = [0xff; 32],
        Malformed("proof"),
    );
    check_refused(
        |case| case.steps[1].share_commitment = case.steps[0].share_commitment,
        ProofWrong,
    );
    check_refused(
        |case| case.shares[0] = Secret::new(vec![1; 191]),
        Malformed("share"),
    );
    check_refused(
        |case| case.shares[0] = Secret::new(vec![0; 192]),
        Malformed("share"),
    );
    check_refused(|case| case.steps[0].proof.truncate(223), Malformed("proof"));
}

fn another_share(case: &Case, position: usize) -> Secret<Vec<u8>> {
    let keys = &case.holders.0[position].keys;
    keys.context_share("ctx/00000099000000001000/main/2")
        .unwrap()
        .to_secret()
}

#[test]
fn every_flipped_bit_in_a_proof_is_found() {
    let case = Case::new();
    let step = &case.steps[1];
    for position in 0..step.proof.len() {
        let mut proof = step.proof.clone();
        proof[position] ^= 1 << (position % 8);
        let forged = Step {
            proof,
            ..step.clone()
        };
        assert!(
            verify_context_step(&case.commitments[1], &forged).is_err(),
            "octet {position}"
        );
    }
    assert!(verify_context_step(&case.commitments[1], step).is_ok());
}

#[test]
fn a_walk_begins_at_the_constant_and_has_a_step() {
    let case = Case::new();
    assert_eq!(verify_walk(&[]).err(), Some(ContextError::WalkBroken));
    let second = (case.commitments[1], case.steps[1].clone());
    assert_eq!(verify_walk(&[second]).err(), Some(ContextError::WalkBroken));
    let first = (case.commitments[0], case.steps[0].clone());
    assert_eq!(
        verify_walk(&[first]).unwrap(),
        case.steps[0].point,
        "one holder is a walk too"
    );
}

#[test]
fn a_share_opens_for_its_owner_and_its_context() {
    let case = Case::new();
    let owner = OpeningKey::from_seed(&OpeningKey::generate());
    let other = OpeningKey::from_seed(&OpeningKey::generate());
    let sealed = seal_share(&owner.public(), LABEL, &case.shares[0]).unwrap();
    assert_eq!(
        open_share(&owner, LABEL, &sealed).unwrap().expose(),
        case.shares[0].expose()
    );
    let refused = Some(SealingError::NotOpened);
    assert_eq!(open_share(&other, LABEL, &sealed).err(), refused);
    assert_eq!(
        open_share(&owner, "ctx/00000099000000001000/main/2", &sealed).err(),
        refused
    );
    let second = seal_share(&owner.public(), LABEL, &case.shares[1]).unwrap();
    let mixed = crate::sealing::SealedShare {
        sealed: second.sealed,
        ..sealed
    };
    assert_eq!(open_share(&owner, LABEL, &mixed).err(), refused);
}

#[test]
fn nothing_prints_a_secret() {
    let case = Case::new();
    let keys = &case.holders.0[0].keys;
    let printed = format!(
        "{keys:?} {:?} {:?} {:?} {:?}",
        keys.context_share(LABEL).unwrap(),
        case.shares[0],
        case.holders.open_context(LABEL),
        case.holders.0[0].secret(LABEL)
    );
    assert_eq!(
        printed,
        "HolderKeys(..) ContextShare(..) Secret(..) ContextKey(..) DomainSecret(..)"
    );
}
