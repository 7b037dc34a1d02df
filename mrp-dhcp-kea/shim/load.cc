// The library's life in Kea: version, load, unload, and where the log goes.

#include "shim.h"

#include <cc/data.h>
#include <dhcpsrv/cfgmgr.h>
#include <dhcpsrv/host_data_source_factory.h>
#include <dhcpsrv/host_mgr.h>
#include <hooks/hooks.h>
#include <log/macros.h>
#include <log/message_initializer.h>

#include <string>

using namespace isc;

namespace mrp {

const char* const BACKEND = "mrp";
mrp_hook* hook = nullptr;

namespace {

const char* messages[] = {"MRP_DHCP", "%1", nullptr};
const log::MessageInitializer initializer(messages);
const log::MessageID MRP_DHCP = "MRP_DHCP";
log::Logger logger("mrp-hooks");

}

void log(int32_t level, const char* text) {
    switch (level) {
    case MRP_ERROR:
        LOG_ERROR(logger, MRP_DHCP).arg(text);
        break;
    case MRP_WARNING:
        LOG_WARN(logger, MRP_DHCP).arg(text);
        break;
    default:
        LOG_INFO(logger, MRP_DHCP).arg(text);
    }
}

}

extern "C" {

int version() {
    return KEA_HOOKS_VERSION;
}

int multi_threading_compatible() {
    return 1;
}

int load(hooks::LibraryHandle& handle) {
    if (dhcp::CfgMgr::instance().getFamily() != AF_INET) {
        mrp::log(MRP_ERROR, "this hook is for kea-dhcp4");
        return 1;
    }
    data::ConstElementPtr found = handle.getParameters();
    const std::string parameters = found ? found->str() : "{}";
    mrp_bytes bytes = {reinterpret_cast<const uint8_t*>(parameters.data()), parameters.size()};
    mrp::hook = mrp_kea_start(bytes, mrp::log);
    if (!mrp::hook) {
        return 1;
    }
    dhcp::HostDataSourceFactory::registerFactory(
        mrp::BACKEND, [](const db::DatabaseConnection::ParameterMap&) { return mrp::host_source(); });
    return 0;
}

int unload() {
    dhcp::HostMgr::delBackend(mrp::BACKEND);
    dhcp::HostDataSourceFactory::deregisterFactory(mrp::BACKEND);
    mrp_kea_stop(mrp::hook);
    mrp::hook = nullptr;
    return 0;
}

// At the start and after each change of the configuration, which makes the host backends anew.
int dhcp4_srv_configured(hooks::CalloutHandle&) {
    dhcp::HostMgr::delBackend(mrp::BACKEND);
    dhcp::HostMgr::addBackend(std::string("type=") + mrp::BACKEND);
    return 0;
}

}
