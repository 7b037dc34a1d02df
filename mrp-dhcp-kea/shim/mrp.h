// The C face of the Rust library, as src/ffi.rs has it. Addresses are numbers in the machine's own byte order.
#ifndef MRP_H
#define MRP_H

#include <stddef.h>
#include <stdint.h>

extern "C" {

struct mrp_hook;

/// Bytes that are lent for the time of a call; none where data is null.
struct mrp_bytes {
    const uint8_t* data;
    size_t length;
};

struct mrp_query {
    uint8_t hardware_type;
    mrp_bytes hardware_address;
    mrp_bytes host_name;     // option 12
    mrp_bytes architecture;  // option 93
    mrp_bytes vendor_class;  // option 60
    mrp_bytes user_class;    // option 77
    uint32_t server;         // option 54 of Kea's answer; 0 for none
};

struct mrp_host {
    uint8_t mac[6];
    uint32_t ipv4;
    char hostname[64];
};

struct mrp_told {
    uint32_t next_server;
    bool http_client;
    char file[256];
    char why[512];
};

enum mrp_level { MRP_ERROR = 0, MRP_WARNING = 1, MRP_INFO = 2 };
enum mrp_over { MRP_RELEASED = 0, MRP_EXPIRED = 1, MRP_DECLINED = 2 };

mrp_hook* mrp_kea_start(mrp_bytes parameters, void (*log)(int32_t level, const char* text));
void mrp_kea_stop(mrp_hook* hook);
bool mrp_kea_host_by_mac(const mrp_hook* hook, mrp_bytes address, mrp_host* host);
bool mrp_kea_host_by_address(const mrp_hook* hook, uint32_t address, mrp_host* host);
bool mrp_kea_answer(const mrp_hook* hook, const mrp_query* query, mrp_told* told);
void mrp_kea_asked(const mrp_hook* hook, const mrp_query* query, bool discover);
void mrp_kea_leased(const mrp_hook* hook, const mrp_query* query, uint32_t address, uint32_t seconds);
void mrp_kea_lease_over(const mrp_hook* hook, uint8_t hardware_type, mrp_bytes hardware_address, uint32_t address, int32_t how);

}

#endif
