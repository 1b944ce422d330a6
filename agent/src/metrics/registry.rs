//! Who is who among the series: each keeps its number from scrape to scrape.
//!
//! Collectors put out the same series in the same order every time. So the registry first compares
//! with the series that came at this place last time, and looks into its hash table only when that
//! is another one. A steady scrape allocates nothing here.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use muster_proto::limits::{LABELS_MAX, NAME_BYTES_MAX, SERIES_MAX};
use muster_proto::metric::{Dict, MetricType, Series};

/// The series and their values of the present scrape.
#[derive(Debug, Default)]
pub struct Registry {
    series: Vec<Series>,
    values: Vec<Option<f64>>,
    /// Values of the dict, to see which series move.
    last: Vec<f64>,
    moves: Vec<u32>,
    by_hash: HashMap<u64, Vec<u32>>,
    /// Numbers in the order of the last scrape, and of this one.
    expected: Vec<u32>,
    order: Vec<u32>,
    is_unsettled: bool,
    refused: u64,
}

impl Registry {
    /// Begins a scrape: no series has a value.
    pub(super) fn begin(&mut self) {
        self.values.fill(None);
        std::mem::swap(&mut self.expected, &mut self.order);
        self.order.clear();
    }

    /// Whether there are series that no dict knows.
    pub(super) fn is_unsettled(&self) -> bool {
        self.is_unsettled
    }

    /// Values that were put out under a name or label over the limits, or beyond the most series.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// The values of this scrape, in the order of the last dict.
    pub(super) fn values(&mut self) -> Vec<Option<f64>> {
        for ((value, last), moves) in self.values.iter().zip(&mut self.last).zip(&mut self.moves) {
            if let Some(value) = *value
                && value.to_bits() != last.to_bits()
            {
                *last = value;
                *moves = moves.saturating_add(1);
            }
        }
        self.values.clone()
    }

    /// Forgets the series that have no value now and numbers the others anew: those that move most
    /// come first, those that are zero last, so that the columns that do not change stand together.
    pub(super) fn settle(&mut self) -> Dict {
        let mut old: Vec<Option<Series>> =
            std::mem::take(&mut self.series).into_iter().map(Some).collect();
        let mut order: Vec<u32> = self.order.clone();
        let rank = |number: u32| {
            let at = number as usize;
            // Buckets, so that a family stays together although its members move unequally.
            let moves = self.moves[at].checked_ilog2().map_or(0, |log| log + 1);
            let is_zero = self.values[at].is_none_or(|value| value == 0.0);
            (std::cmp::Reverse(moves), is_zero)
        };
        order.sort_by(|a, b| {
            let key = |number: &u32| old[*number as usize].as_ref().map(|s| (&s.name, &s.labels));
            rank(*a).cmp(&rank(*b)).then_with(|| key(a).cmp(&key(b)))
        });
        order.dedup();
        let values: Vec<_> = order.iter().map(|at| self.values[*at as usize]).collect();
        let mut renumbered = vec![u32::MAX; old.len()];
        for (new, number) in order.iter().enumerate() {
            renumbered[*number as usize] = new as u32;
            self.series.extend(old[*number as usize].take());
        }
        for number in &mut self.order {
            *number = renumbered[*number as usize];
        }
        self.by_hash.clear();
        for (number, series) in self.series.iter().enumerate() {
            let labels = series.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
            let hash = hash_of(&series.name, labels);
            self.by_hash.entry(hash).or_default().push(number as u32);
        }
        self.last = values.iter().map(|value| value.unwrap_or(0.0)).collect();
        self.moves = vec![0; values.len()];
        self.values = values;
        self.is_unsettled = false;
        Dict { series: self.series.clone(), base: self.last.clone() }
    }

    fn put(&mut self, name: &str, kind: MetricType, labels: &[(&str, &str)], value: f64) {
        debug_assert!(labels.is_sorted_by_key(|label| label.0), "{name}: labels are sorted");
        let guess = self.expected.get(self.order.len()).copied();
        let number = match guess.filter(|at| is_same(&self.series[*at as usize], name, labels)) {
            Some(number) => number,
            None => match self.find_or_add(name, kind, labels) {
                Some(number) => number,
                None => {
                    self.refused += 1;
                    return;
                }
            },
        };
        // A series put out twice in one scrape keeps its last value.
        self.values[number as usize] = Some(value);
        self.order.push(number);
    }

    fn find_or_add(
        &mut self,
        name: &str,
        kind: MetricType,
        labels: &[(&str, &str)],
    ) -> Option<u32> {
        let hash = hash_of(name, labels.iter().copied());
        let numbers = self.by_hash.entry(hash).or_default();
        if let Some(at) =
            numbers.iter().find(|at| is_same(&self.series[**at as usize], name, labels))
        {
            return Some(*at);
        }
        let is_long = |word: &str| word.len() > NAME_BYTES_MAX;
        if self.series.len() >= SERIES_MAX
            || labels.len() > LABELS_MAX
            || is_long(name)
            || labels.iter().any(|(key, value)| is_long(key) || is_long(value))
        {
            return None;
        }
        let number = self.series.len() as u32;
        numbers.push(number);
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let labels = labels.iter().map(owned).collect();
        self.series.push(Series { name: name.to_owned(), kind, labels });
        self.values.push(None);
        self.last.push(0.0);
        self.moves.push(0);
        self.is_unsettled = true;
        Some(number)
    }
}

fn is_same(series: &Series, name: &str, labels: &[(&str, &str)]) -> bool {
    series.name == name
        && series.labels.len() == labels.len()
        && series.labels.iter().zip(labels).all(|(own, given)| own.0 == given.0 && own.1 == given.1)
}

fn hash_of<'a>(name: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    for label in labels {
        label.hash(&mut hasher);
    }
    hasher.finish()
}

/// Where a collector puts its values.
#[derive(Debug)]
pub struct Out<'a> {
    registry: &'a mut Registry,
    name: String,
}

impl<'a> Out<'a> {
    pub(super) fn new(registry: &'a mut Registry) -> Out<'a> {
        Out { registry, name: String::new() }
    }

    /// A value that goes up and down. Labels are sorted by name.
    pub fn gauge(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.registry.put(name, MetricType::Gauge, labels, value);
    }

    /// A value that only goes up. Labels are sorted by name.
    pub fn counter(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.registry.put(name, MetricType::Counter, labels, value);
    }

    /// A value of which node_exporter does not say what it is. Labels are sorted by name.
    pub fn untyped(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.registry.put(name, MetricType::Untyped, labels, value);
    }

    /// A value without labels whose name is put together from `parts`. Letters that may not stand in
    /// a name become `_`.
    pub fn named(&mut self, parts: &[&str], kind: MetricType, value: f64) {
        self.name.clear();
        let letters = parts.iter().flat_map(|part| part.chars());
        self.name.extend(letters.map(|letter| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | ':' => letter,
            _ => '_',
        }));
        self.registry.put(&self.name, kind, &[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts out `names` in one scrape and says which number each has in the dict.
    fn scrape(registry: &mut Registry, names: &[(&str, f64)]) -> Option<Dict> {
        registry.begin();
        for (name, value) in names {
            Out::new(registry).gauge(name, &[], *value);
        }
        registry.is_unsettled().then(|| registry.settle())
    }

    #[test]
    fn a_series_keeps_its_number_until_the_next_dict() {
        let mut registry = Registry::default();
        let dict = scrape(&mut registry, &[("a", 1.0), ("b", 2.0), ("c", 3.0)]).unwrap();
        assert_eq!(dict.base, [1.0, 2.0, 3.0]);
        // Another order, one gone: no new dict, and the gone one has no value.
        assert_eq!(scrape(&mut registry, &[("c", 5.0), ("a", 4.0)]), None);
        assert_eq!(registry.values(), [Some(4.0), None, Some(5.0)]);
        // A new one: the dict forgets what is gone. What moved stands first, zeros last.
        let dict =
            scrape(&mut registry, &[("z", 0.0), ("d", 7.0), ("c", 6.0), ("a", 4.0)]).unwrap();
        let names: Vec<_> = dict.series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["a", "c", "d", "z"]);
        assert_eq!(registry.values(), [Some(4.0), Some(6.0), Some(7.0), Some(0.0)]);
    }

    #[test]
    fn a_series_put_out_twice_is_one_column() {
        let mut registry = Registry::default();
        let dict = scrape(&mut registry, &[("a", 1.0), ("b", 1.0), ("a", 2.0)]).unwrap();
        assert_eq!(dict.series.len(), 2);
        assert_eq!(registry.values(), [Some(2.0), Some(1.0)]);
    }

    #[test]
    fn names_over_the_limit_are_counted_not_kept() {
        let mut registry = Registry::default();
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        registry.begin();
        Out::new(&mut registry).gauge("ok", &[("label", &long)], 1.0);
        assert_eq!(registry.refused(), 1);
        assert!(!registry.is_unsettled());
    }
}
