//! Policy as data and pure decisions shared by agent, helper, aggregator and musterctl.
