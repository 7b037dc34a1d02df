// What differs between versions of Kea, in this one place.
#ifndef MRP_VERSION_H
#define MRP_VERSION_H

#include <hooks/hooks.h>

#include <cstddef>

// KEA_HOOKS_VERSION is 20200 for 2.2.0, 20400 for 2.4.0, and so on. A library serves the version that it was built against.
#if KEA_HOOKS_VERSION >= 20709
#define MRP_SUBNET4_PTR isc::dhcp::ConstSubnet4Ptr
#else
#define MRP_SUBNET4_PTR isc::dhcp::Subnet4Ptr
#endif

#endif
