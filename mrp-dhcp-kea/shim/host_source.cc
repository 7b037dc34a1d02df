// The host backend: Kea asks it for reservations, by hardware address and by address.

#include "shim.h"

#include <asiolink/io_address.h>
#include <dhcpsrv/cfg_subnets4.h>
#include <dhcpsrv/cfgmgr.h>
#include <dhcpsrv/host.h>
#include <dhcpsrv/srv_config.h>
#include <dhcpsrv/subnet.h>
#include <exceptions/exceptions.h>

using namespace isc;
using namespace isc::dhcp;
using asiolink::IOAddress;

namespace {

// A reservation holds in the subnet that its address is in.
ConstHostPtr host_in(const SubnetID& subnet_id, const mrp_host& found) {
    const IOAddress address(found.ipv4);
    const auto subnet = CfgMgr::instance().getCurrentCfg()->getCfgSubnets4()->getBySubnetId(subnet_id);
    if (!subnet || !subnet->inRange(address)) {
        return ConstHostPtr();
    }
    return ConstHostPtr(new Host(found.mac, sizeof(found.mac), Host::IDENT_HWADDR, subnet_id, SUBNET_ID_UNUSED, address,
                                 found.hostname));
}

class HostSource : public BaseHostDataSource {
public:
    ConstHostPtr get4(const SubnetID& subnet_id, const Host::IdentifierType& type, const uint8_t* begin,
                      const size_t length) const {
        mrp_host found;
        if (type != Host::IDENT_HWADDR || !mrp_kea_host_by_mac(mrp::hook, mrp_bytes{begin, length}, &found)) {
            return ConstHostPtr();
        }
        return host_in(subnet_id, found);
    }

    ConstHostPtr get4(const SubnetID& subnet_id, const IOAddress& address) const {
        mrp_host found;
        if (!mrp_kea_host_by_address(mrp::hook, address.toUint32(), &found)) {
            return ConstHostPtr();
        }
        return host_in(subnet_id, found);
    }

    ConstHostCollection getAll4(const SubnetID& subnet_id, const IOAddress& address) const {
        const ConstHostPtr host = get4(subnet_id, address);
        return host ? ConstHostCollection{host} : ConstHostCollection();
    }

    std::string getType() const { return mrp::BACKEND; }

    // Several clients with one address are no matter of Kea's here: the table gives it to one.
    bool setIPReservationsUnique(const bool unique) { return unique; }

    // What only commands that list or change reservations ask; they are mrp's to list and to change.
    ConstHostCollection getAll(const Host::IdentifierType&, const uint8_t*, const size_t) const { return {}; }
    ConstHostCollection getAll4(const SubnetID&) const { return {}; }
    ConstHostCollection getAll4(const IOAddress&) const { return {}; }
    ConstHostCollection getAllbyHostname(const std::string&) const { return {}; }
    ConstHostCollection getAllbyHostname4(const std::string&, const SubnetID&) const { return {}; }
    ConstHostCollection getPage4(const SubnetID&, size_t&, uint64_t, const HostPageSize&) const { return {}; }
    ConstHostCollection getPage4(size_t&, uint64_t, const HostPageSize&) const { return {}; }
    void add(const HostPtr&) { isc_throw(NotImplemented, "reservations are made in mrp"); }
    bool del(const SubnetID&, const IOAddress&) { return false; }
    bool del4(const SubnetID&, const Host::IdentifierType&, const uint8_t*, const size_t) { return false; }

    // DHCPv6, which this hook has no part in. The last one is of versions after 2.2.
    ConstHostCollection getAll6(const SubnetID&) const { return {}; }
    ConstHostCollection getAllbyHostname6(const std::string&, const SubnetID&) const { return {}; }
    ConstHostCollection getPage6(const SubnetID&, size_t&, uint64_t, const HostPageSize&) const { return {}; }
    ConstHostCollection getPage6(size_t&, uint64_t, const HostPageSize&) const { return {}; }
    ConstHostPtr get6(const SubnetID&, const Host::IdentifierType&, const uint8_t*, const size_t) const { return {}; }
    ConstHostPtr get6(const IOAddress&, const uint8_t) const { return {}; }
    ConstHostPtr get6(const SubnetID&, const IOAddress&) const { return {}; }
    ConstHostCollection getAll6(const SubnetID&, const IOAddress&) const { return {}; }
    bool del6(const SubnetID&, const Host::IdentifierType&, const uint8_t*, const size_t) { return false; }
    virtual ConstHostCollection getAll6(const IOAddress&) const { return {}; }
};

}

namespace mrp {

HostDataSourcePtr host_source() {
    return HostDataSourcePtr(new HostSource());
}

}
