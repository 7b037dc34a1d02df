//! TFTP, boot configurations, answer files and the dnsmasq backend.
