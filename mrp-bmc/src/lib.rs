//! Native IPMI 2.0, BMC drivers and a BMC simulator.
