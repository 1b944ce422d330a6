//! The admin's command: asks any aggregator about the whole fleet.
