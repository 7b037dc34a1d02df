// Stands in for a header that kea-dev 2.2 of Debian lacks and network.h includes. Found after Kea's own folders, so that
// a version that has it uses its own. The shim calls nothing that depends on these numbers.
#ifndef CFG_GLOBALS_H
#define CFG_GLOBALS_H

#include <cc/data.h>

#include <boost/shared_ptr.hpp>

#include <string>

namespace isc {
namespace dhcp {

class CfgGlobals {
public:
    enum Index {
        VALID_LIFETIME, MIN_VALID_LIFETIME, MAX_VALID_LIFETIME, RENEW_TIMER, REBIND_TIMER, CALCULATE_TEE_TIMES,
        T1_PERCENT, T2_PERCENT, RESERVATIONS_GLOBAL, RESERVATIONS_IN_SUBNET, RESERVATIONS_OUT_OF_POOL,
        DDNS_SEND_UPDATES, DDNS_OVERRIDE_NO_UPDATE, DDNS_OVERRIDE_CLIENT_UPDATE, DDNS_REPLACE_CLIENT_NAME,
        DDNS_GENERATED_PREFIX, DDNS_QUALIFYING_SUFFIX, HOSTNAME_CHAR_SET, HOSTNAME_CHAR_REPLACEMENT,
        DDNS_UPDATE_ON_RENEW, DDNS_USE_CONFLICT_RESOLUTION, STORE_EXTENDED_INFO, CACHE_THRESHOLD, CACHE_MAX_AGE,
        PREFERRED_LIFETIME, MIN_PREFERRED_LIFETIME, MAX_PREFERRED_LIFETIME, MATCH_CLIENT_ID,
        AUTHORITATIVE, NEXT_SERVER, SERVER_HOSTNAME, BOOT_FILE_NAME
    };
    isc::data::ConstElementPtr get(int) const;
    isc::data::ConstElementPtr get(std::string) const;
    void set(std::string, isc::data::ConstElementPtr);
    void clear();
};

typedef boost::shared_ptr<CfgGlobals> CfgGlobalsPtr;
typedef boost::shared_ptr<const CfgGlobals> ConstCfgGlobalsPtr;

}
}

#endif
