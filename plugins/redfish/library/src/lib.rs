//! The driver `redfish` as a plugin. Apart from the driver, so that linking that in exports no entry for plugins.

mrp_core::export_bmc!(mrp_redfish::RedfishBmc);
