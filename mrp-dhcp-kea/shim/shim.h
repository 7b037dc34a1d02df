// What the files of the shim share.
#ifndef MRP_SHIM_H
#define MRP_SHIM_H

#include "mrp.h"

#include <dhcp/pkt4.h>
#include <dhcpsrv/base_host_data_source.h>
#include <dhcpsrv/lease.h>
#include <log/logger.h>

#include <vector>

namespace mrp {

/// The name of the host backend.
extern const char* const BACKEND;

/// The running hook; null before load() and after unload(), which Kea calls while nothing else runs.
extern mrp_hook* hook;

/// Writes to Kea's log.
void log(int32_t level, const char* text);

/// The reservations of mrp's table.
isc::dhcp::HostDataSourcePtr host_source();

/// A query with the bytes that it points to.
class Query {
public:
    explicit Query(const isc::dhcp::Pkt4& query);
    /// Adds what is needed of Kea's answer to it.
    void answered(const isc::dhcp::Pkt4& answer);
    Query(const Query&) = delete;
    Query& operator=(const Query&) = delete;
    /// Whether the client says what firmware or boot loader it is; who does not is told nothing of booting.
    bool names_firmware() const { return !architecture_.empty() || !user_class_.empty(); }
    const mrp_query* operator()() const { return &query_; }

private:
    std::vector<uint8_t> host_name_, architecture_, vendor_class_, user_class_;
    mrp_query query_;
};

}

#endif
