// The end of leases is told to mrp.

#include "shim.h"

#include <dhcpsrv/lease.h>
#include <hooks/hooks.h>

using namespace isc;
using namespace isc::dhcp;

namespace {

void over(hooks::CalloutHandle& handle, mrp_over how) {
    Lease4Ptr lease;
    handle.getArgument("lease4", lease);
    if (lease && lease->hwaddr_) {
        const std::vector<uint8_t>& address = lease->hwaddr_->hwaddr_;
        mrp_kea_lease_over(mrp::hook, lease->hwaddr_->htype_, mrp_bytes{address.data(), address.size()},
                           lease->addr_.toUint32(), how);
    }
}

}

extern "C" {

int lease4_release(hooks::CalloutHandle& handle) {
    over(handle, MRP_RELEASED);
    return 0;
}

int lease4_expire(hooks::CalloutHandle& handle) {
    over(handle, MRP_EXPIRED);
    return 0;
}

int lease4_decline(hooks::CalloutHandle& handle) {
    over(handle, MRP_DECLINED);
    return 0;
}

}
