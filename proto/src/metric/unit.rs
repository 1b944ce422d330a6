//! Units: what a value is counted in. See the table in [`super`].

/// Whole numbers up to this are exact in an f64.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// One of the 13 units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit(u8);

impl Unit {
    /// Most decimals that pay off: nanoseconds.
    const DECIMALS_MAX: u8 = 9;
    /// How many units there are.
    pub(super) const COUNT: u8 = 13;
    /// Plain whole numbers.
    const ONE: Unit = Unit(0);

    pub(super) fn from_number(number: u8) -> Option<Unit> {
        (number < Unit::COUNT).then_some(Unit(number))
    }

    pub(super) fn number(self) -> u8 {
        self.0
    }

    /// The coarsest unit that fits `value`; whole numbers when none does.
    pub(super) fn of(value: f64) -> Unit {
        let multiples = [Unit(12), Unit(11), Unit(10)];
        // 0 and small counts are multiples of everything or too small to gain: they count in ones.
        if value.abs() >= 512.0
            && let Some(unit) = multiples.into_iter().find(|unit| unit.count(value).is_some())
        {
            return unit;
        }
        let decimals = (0..=Unit::DECIMALS_MAX).map(Unit);
        decimals.into_iter().find(|unit| unit.count(value).is_some()).unwrap_or(Unit::ONE)
    }

    /// How many units `value` is, if [`Unit::value`] gives exactly its bits back.
    pub(super) fn count(self, value: f64) -> Option<i64> {
        let count = self.nearest(value)?;
        (self.value(count).to_bits() == value.to_bits()).then_some(count)
    }

    /// The whole number of units next to `value`, when it is small enough to be exact.
    pub(super) fn nearest(self, value: f64) -> Option<i64> {
        let count = match self.0 {
            12 => value / 4096.0,
            11 => value / 1024.0,
            10 => value / 512.0,
            decimals => value * POWERS[usize::from(decimals)],
        };
        let count = count.round();
        (count.abs() < EXACT_MAX).then_some(count as i64)
    }

    /// The value of `count` units.
    pub(super) fn value(self, count: i64) -> f64 {
        let count = count as f64;
        match self.0 {
            12 => count * 4096.0,
            11 => count * 1024.0,
            10 => count * 512.0,
            decimals => count / POWERS[usize::from(decimals)],
        }
    }
}

/// One column: the last value and its unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// The value differences are taken to.
    pub(super) reference: f64,
    /// What they are counted in.
    pub(super) unit: Unit,
}

impl Column {
    pub(super) fn new(base: f64) -> Column {
        Column { reference: base, unit: Unit::of(base) }
    }

    /// The value `difference` units away; `None` when the reference is no number to count from.
    pub(super) fn moved(self, unit: Unit, difference: i64) -> Option<f64> {
        let count = unit.nearest(self.reference)?.checked_add(difference)?;
        Some(unit.value(count))
    }

    /// The difference to `value` in `unit`, if [`Column::moved`] gives exactly its bits back.
    pub(super) fn difference(self, unit: Unit, value: f64) -> Option<i64> {
        let difference = unit.count(value)?.checked_sub(unit.nearest(self.reference)?)?;
        (self.moved(unit, difference)?.to_bits() == value.to_bits()).then_some(difference)
    }
}
