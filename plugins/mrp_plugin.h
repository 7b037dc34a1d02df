/* The C ABI of an mrp plugin, version 1. README.md beside this file is the contract; this is its form in C.
 *
 * A library exports the one function mrp_bmc_driver_v1. It is loaded once and never unloaded.
 *
 * - Both sides offer a table that begins with its size in bytes. Fields are only added at its end: use what lies within the
 *   size that you find, and count the rest as absent.
 * - mrp calls the driver's functions from one thread, one after the other. They may block, but then nothing else is asked
 *   meanwhile. A plugin may call the host's functions from any thread, at any time.
 * - Bytes that are passed are borrowed for the duration of the call and have no terminating zero; those that `describe`
 *   returns live as long as the process.
 * - Each call is answered by `done` exactly once, a cancelled one too. mrp chooses the numbers of calls and of BMCs.
 */
#ifndef MRP_PLUGIN_H
#define MRP_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MRP_PLUGIN_VERSION 1

/* The status of an answer: success, or what the caller can do about the error. */
enum {
    MRP_OK = 0,
    MRP_UNREACHABLE = 1,  /* nobody answers at the address: try again later */
    MRP_TIMEOUT = 2,      /* an answer came too late, or the call was cancelled: try again later */
    MRP_UNAUTHORIZED = 3, /* user name or password is wrong: never tried again by itself */
    MRP_BUSY = 4,         /* no time or no free session: try again in a moment */
    MRP_UNSUPPORTED = 5,  /* the driver or this BMC cannot do it, or the operation is unknown */
    MRP_PROTOCOL = 6,     /* the BMC answers what its protocol does not allow */
    MRP_CONFIG = 7,       /* the BMC's configuration is wrong: the message names the option */
    MRP_FAILED = 8,       /* the plugin itself failed */
    MRP_CONSOLE_TAKEN = 9 /* the serial console is open in another session */
};

/* Levels of the log. */
enum { MRP_LOG_ERROR = 0, MRP_LOG_WARNING = 1, MRP_LOG_INFO = 2, MRP_LOG_DEBUG = 3 };

typedef struct {
    const uint8_t *ptr;
    size_t len;
} MrpBytes;

/* What mrp offers to a plugin. `host` is handed back as the first argument of each function. */
typedef struct {
    uint32_t size;
    uint32_t version;
    void *host;
    /* Answers a call: MRP_OK and the reply in JSON (no bytes are {}), or another status and words. */
    void (*done)(void *host, uint64_t call, int32_t status, MrpBytes payload);
    /* Bytes that a machine printed at the console which the call opened. */
    void (*console)(void *host, uint64_t call, MrpBytes bytes);
    /* The console which the call opened is closed: MRP_OK if that was wanted, else another status and words. */
    void (*console_end)(void *host, uint64_t call, int32_t status, MrpBytes payload);
    /* A line for the server's log. */
    void (*log)(void *host, uint32_t level, MrpBytes message);
} MrpHostV1;

/* What a plugin offers to mrp. `driver` is handed back as the first argument of each function. */
typedef struct {
    uint32_t size;
    uint32_t version;
    void *driver;
    /* The hello in JSON. */
    MrpBytes (*describe)(void *driver);
    /* Asks something: an operation's name and its request in JSON, about the BMC of that number. */
    void (*call)(void *driver, uint64_t call, uint64_t instance, MrpBytes operation, MrpBytes request);
    /* The call's answer is wanted no more, or the console of that call is to be closed. May be null. */
    void (*cancel)(void *driver, uint64_t call);
    /* Bytes that were typed at the console which the call opened; returns 0 if they were taken. May be null. */
    int32_t (*console_write)(void *driver, uint64_t call, MrpBytes bytes);
    /* A break condition for that console; returns 0 if it was taken. May be null. */
    int32_t (*console_break)(void *driver, uint64_t call);
} MrpDriverV1;

/* The entry. Returns null if the plugin cannot work with this host. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const MrpDriverV1 *mrp_bmc_driver_v1(const MrpHostV1 *host);

#ifdef __cplusplus
}
#endif

#endif
