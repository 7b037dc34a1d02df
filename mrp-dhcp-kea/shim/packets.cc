// What goes through Kea: queries are told to mrp, answers get what the table says of booting.

#include "shim.h"

#include <asiolink/io_address.h>
#include <dhcp/dhcp4.h>
#include <dhcp/option.h>
#include <dhcp/option_int.h>
#include <dhcp/option_string.h>
#include <hooks/hooks.h>
#include <util/buffer.h>

#include <cstring>

using namespace isc;
using namespace isc::dhcp;

namespace {

// The bytes of an option as they are on the wire, whatever class Kea has made of it. getOption() would copy the option
// for a callout, which only reads it.
std::vector<uint8_t> bytes_of(const Pkt4& packet, uint16_t code) {
    const auto found = packet.options_.find(code);
    if (found == packet.options_.end()) {
        return {};
    }
    Option& option = *found->second;
    util::OutputBuffer wire(64);
    option.pack(wire);
    const uint8_t* begin = static_cast<const uint8_t*>(wire.getData());
    const size_t header = option.getHeaderLen();
    return wire.getLength() <= header ? std::vector<uint8_t>() : std::vector<uint8_t>(begin + header, begin + wire.getLength());
}

mrp_bytes lent(const std::vector<uint8_t>& bytes) {
    return mrp_bytes{bytes.data(), bytes.size()};
}

void replace(Pkt4& packet, uint16_t code, const std::string& text) {
    packet.delOption(code);
    packet.addOption(OptionPtr(new OptionString(Option::V4, code, text)));
}

}

namespace mrp {

Query::Query(const Pkt4& query)
    : host_name_(bytes_of(query, DHO_HOST_NAME)), architecture_(bytes_of(query, DHO_SYSTEM)),
      vendor_class_(bytes_of(query, DHO_VENDOR_CLASS_IDENTIFIER)), user_class_(bytes_of(query, DHO_USER_CLASS)) {
    const HWAddrPtr client = query.getHWAddr();
    query_.hardware_type = client ? client->htype_ : 0;
    query_.hardware_address = client ? lent(client->hwaddr_) : mrp_bytes{nullptr, 0};
    query_.host_name = lent(host_name_);
    query_.architecture = lent(architecture_);
    query_.vendor_class = lent(vendor_class_);
    query_.user_class = lent(user_class_);
    query_.server = 0;
}

void Query::answered(const Pkt4& answer) {
    const std::vector<uint8_t> server = bytes_of(answer, DHO_DHCP_SERVER_IDENTIFIER);
    if (server.size() == 4) {
        query_.server = asiolink::IOAddress::fromBytes(AF_INET, server.data()).toUint32();
    }
}

}

extern "C" {

// A REQUEST that takes an offer (RFC 2131, 4.3.2: it names the server) follows a DISCOVER, which was told.
int pkt4_receive(hooks::CalloutHandle& handle) {
    Pkt4Ptr query;
    handle.getArgument("query4", query);
    const uint8_t type = query->getType();
    if (type == DHCPDISCOVER || (type == DHCPREQUEST && query->options_.count(DHO_DHCP_SERVER_IDENTIFIER) == 0)) {
        mrp_kea_asked(mrp::hook, mrp::Query(*query)(), type == DHCPDISCOVER);
    }
    return 0;
}

// Leases are told to mrp here and not in leases4_committed, for which Kea would park each packet: an ACK is sent after the commit.
int pkt4_send(hooks::CalloutHandle& handle) {
    Pkt4Ptr query, answer;
    handle.getArgument("query4", query);
    handle.getArgument("response4", answer);
    if (!query || !answer || answer->getType() == DHCPNAK) {
        return 0;
    }
    mrp::Query read(*query);
    if (answer->getType() == DHCPACK && query->getType() == DHCPREQUEST) {
        const auto time = answer->options_.find(DHO_DHCP_LEASE_TIME);
        const auto seconds = time == answer->options_.end() ? nullptr : dynamic_cast<OptionUint32*>(time->second.get());
        if (seconds) {
            mrp_kea_leased(mrp::hook, read(), answer->getYiaddr().toUint32(), seconds->getValue());
        }
    }
    mrp_told told;
    if (!read.names_firmware()) {
        return 0;
    }
    read.answered(*answer);
    if (!mrp_kea_answer(mrp::hook, read(), &told)) {
        return 0;
    }
    const std::string file(told.file);
    const asiolink::IOAddress server(told.next_server);
    answer->setSiaddr(server);
    if (file.size() < Pkt4::MAX_FILE_LEN) {
        answer->setFile(reinterpret_cast<const uint8_t*>(file.c_str()), file.size() + 1);
    }
    replace(*answer, DHO_TFTP_SERVER_NAME, server.toText());
    replace(*answer, DHO_BOOT_FILE_NAME, file);
    if (told.http_client) {
        replace(*answer, DHO_VENDOR_CLASS_IDENTIFIER, "HTTPClient");
    }
    mrp::log(MRP_INFO, told.why);
    return 0;
}

}
