//! Invented people with test numbers: BSNs `9999xxxxx` that pass the eleven-test, of which 9,091 exist.
//!
//! Must never make a number outside that range: those may be somebody's.

use rules::secret::Secret;
use std::sync::LazyLock;

/// Where the test numbers begin.
const FIRST_NUMBER: u32 = 999_900_000;
/// The people of the played year draw from the first numbers; whoever tries by hand gets later ones, of
/// which README uses the first, 999990019.
const BY_HAND_OFFSET: usize = 8_183;

const GIVEN: [&str; 24] = [
    "Aafke", "Bauke", "Cilia", "Doutzen", "Evert", "Famke", "Gijsbert", "Hidde", "Ilja", "Jikke",
    "Kaj", "Lieuwe", "Meinte", "Nynke", "Okke", "Pleun", "Quirien", "Rixt", "Sjoukje", "Teuntje",
    "Ulbe", "Veerle", "Wiebren", "Ypke",
];
const FAMILY_BEGIN: [&str; 20] = [
    "Wolken", "Zand", "Blik", "Veer", "Molen", "Storm", "Riet", "Klei", "Sluis", "Duin", "Kreek",
    "Golf", "Baak", "Schelp", "Vlas", "Turf", "Anker", "Mist", "Helm", "Polder",
];
const FAMILY_END: [&str; 20] = [
    "kroon", "sloot", "hout", "wacht", "stra", "meijer", "hoeve", "berger", "laar", "vanger",
    "zicht", "kamper", "dijker", "wijk", "oever", "tak", "spiegel", "licht", "hals", "bout",
];

/// An invented person. Has no `Debug`, so that not even an invented number is printed by accident.
pub(crate) struct Person {
    /// The key under which a partner keeps this person.
    pub(crate) key: String,
    /// The test number, nine digits.
    pub(crate) bsn: Secret<String>,
    /// Given and family name.
    pub(crate) name: String,
    /// Telephone number, in the range kept for fiction.
    pub(crate) telephone: String,
    /// Postcode of six positions, one that is not handed out.
    pub(crate) postcode: String,
}

impl Person {
    /// The same person once more, on purpose: a number is not copied by accident.
    pub(crate) fn again(&self) -> Self {
        Self {
            key: self.key.clone(),
            bsn: Secret::new(self.bsn.expose().clone()),
            name: self.name.clone(),
            telephone: self.telephone.clone(),
            postcode: self.postcode.clone(),
        }
    }
}

/// The invented person with this place in line; the same each time.
pub(crate) fn person(place: usize) -> Person {
    invent(place, test_numbers().nth(place).unwrap_or_default())
}

/// Test numbers that the played year does not use, for whoever tries by hand.
pub(crate) fn numbers_by_hand(count: usize) -> Vec<String> {
    test_numbers()
        .skip(BY_HAND_OFFSET)
        .take(count)
        .map(|number| number.to_string())
        .collect()
}

fn invent(index: usize, number: u32) -> Person {
    Person {
        key: format!("kandidaat-{:04}", index.saturating_add(1)),
        bsn: Secret::new(number.to_string()),
        name: format!(
            "{} {}{}",
            pick(&GIVEN, index),
            pick(
                &FAMILY_BEGIN,
                index.checked_div(FAMILY_END.len()).unwrap_or(0)
            ),
            pick(&FAMILY_END, index),
        ),
        telephone: format!("06-0000{:04}", index.saturating_add(1)),
        postcode: format!("{:04}ZZ", index.saturating_add(1)),
    }
}

fn pick(list: &[&'static str], index: usize) -> &'static str {
    list.iter().cycle().nth(index).copied().unwrap_or("")
}

/// Every test number, found once: to try them all takes a while.
static TEST_NUMBERS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    (FIRST_NUMBER..FIRST_NUMBER.saturating_add(100_000))
        .filter(|number| passes_eleven_test(*number))
        .collect()
});

fn test_numbers() -> impl Iterator<Item = u32> {
    TEST_NUMBERS.iter().copied()
}

/// The eleven-test: nine digits weighed 9 to 2 and the last −1, a multiple of eleven.
fn passes_eleven_test(number: u32) -> bool {
    let digits = number.to_string();
    let sum: i32 = digits
        .bytes()
        .zip([9, 8, 7, 6, 5, 4, 3, 2, -1])
        .map(|(digit, weight)| i32::from(digit.saturating_sub(b'0')).saturating_mul(weight))
        .sum();
    digits.len() == 9 && sum.rem_euclid(11) == 0
}

#[cfg(test)]
mod tests {
    use super::{Person, numbers_by_hand, person, test_numbers};
    use std::collections::BTreeSet;

    #[test]
    fn everybody_is_invented_and_nobody_is_doubled() {
        assert_eq!(test_numbers().count(), 9_091, "the test numbers that pass");
        let everybody: Vec<Person> = (0..1_200).map(person).collect();
        let numbers: BTreeSet<_> = everybody.iter().map(|person| person.bsn.expose()).collect();
        let names: BTreeSet<_> = everybody.iter().map(|person| &person.name).collect();
        assert_eq!((numbers.len(), names.len()), (1_200, 1_200));
        assert!(
            numbers
                .iter()
                .all(|number| number.starts_with("9999") && number.len() == 9)
        );
        assert!(
            numbers_by_hand(3)
                .iter()
                .all(|number| !numbers.contains(number))
        );
    }
}
