/* A plugin that behaves as a BMC's address says, when its power is read. For the tests of what a bad plugin does. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mrp_plugin.h"

#ifndef VERSION
#define VERSION MRP_PLUGIN_VERSION
#endif
#ifndef PROTOCOL
#define PROTOCOL "1"
#endif

static const MrpHostV1 *mrp;
static char behaviour[64][64];
static uint64_t owed;

static MrpBytes text(const char *s) { return (MrpBytes){(const uint8_t *)s, strlen(s)}; }
static void answer(uint64_t call, int32_t status, const char *payload) { mrp->done(mrp->host, call, status, text(payload)); }
static int is(MrpBytes bytes, const char *name) { return bytes.len == strlen(name) && !memcmp(bytes.ptr, name, bytes.len); }

static void behave(const char *how, uint64_t call) {
    if (!strcmp(how, "segfault")) *(volatile int *)0 = 1;
    if (!strcmp(how, "abort")) abort();
    if (!strcmp(how, "exit")) exit(7);
    if (!strcmp(how, "spin"))
        for (volatile int i = 0;; i++) continue;
    if (!strcmp(how, "sleep"))
        for (;;) pause();
    if (!strcmp(how, "leak"))
        for (;;) {
            char *lost = malloc(1 << 20);
            if (!lost) {
                fprintf(stderr, "out of memory\n");
                abort();
            }
            memset(lost, 1, 1 << 20);
        }
    if (!strcmp(how, "silent")) return;
    if (!strcmp(how, "broken")) return answer(call, MRP_OK, "{\"power\": ");
    if (!strcmp(how, "shape")) return answer(call, MRP_OK, "{\"power\": \"perhaps\"}");
    if (!strcmp(how, "status")) return answer(call, 77, "strange");
    if (!strcmp(how, "busy")) return answer(call, MRP_BUSY, "all 4 sessions are taken");
    if (!strcmp(how, "huge")) {
        size_t len = 100 << 20;
        char *huge = malloc(len);
        memset(huge, ' ', len);
        mrp->done(mrp->host, call, MRP_OK, (MrpBytes){(uint8_t *)huge, len});
        return free(huge);
    }
    answer(call, MRP_OK, "{\"power\": \"on\"}");
    if (!strcmp(how, "twice")) answer(call, MRP_OK, "{\"power\": \"off\"}");
    if (!strcmp(how, "late")) owed = call;
}

static void ask(void *driver, uint64_t call, uint64_t instance, MrpBytes operation, MrpBytes request) {
    char *how = behaviour[instance % 64];
    (void)driver;
    if (is(operation, "open")) {
        const char *address = "\"address\":\"";
        const char *end = (const char *)request.ptr + request.len, *at = (const char *)request.ptr;
        while (at < end && memcmp(at, address, strlen(address))) at++;
        at += strlen(address);
        snprintf(how, 64, "%.*s", (int)strcspn(at, "\""), at);
        return answer(call, MRP_OK, "");
    }
    if (is(operation, "power")) return behave(how, call);
    if (is(operation, "set_power") || is(operation, "set_boot")) return answer(call, MRP_OK, "{}");
    if (is(operation, "open_console") && !strcmp(how, "flood")) {
        char block[4096];
        memset(block, 'x', sizeof block);
        answer(call, MRP_OK, "{}");
        for (int i = 0; i < 20000; i++) mrp->console(mrp->host, call, (MrpBytes){(uint8_t *)block, sizeof block});
        return;
    }
    if (is(operation, "open_console")) return answer(call, MRP_OK, "{}");
    if (is(operation, "close")) {
        answer(call, MRP_OK, "");
        if (owed) answer(owed, MRP_OK, "{\"power\": \"off\"}");
        owed = 0;
        return;
    }
    answer(call, MRP_UNSUPPORTED, "");
}

/* Echoes what is typed. */
static int32_t console_write(void *driver, uint64_t call, MrpBytes bytes) {
    (void)driver;
    mrp->console(mrp->host, call, bytes);
    return 0;
}

static void cancel(void *driver, uint64_t call) {
    (void)driver;
    mrp->console_end(mrp->host, call, MRP_OK, (MrpBytes){NULL, 0});
}

static int32_t console_break(void *driver, uint64_t call) {
    (void)driver;
    mrp->console_end(mrp->host, call, MRP_BUSY, text("a break ends this one"));
    return 0;
}

static MrpBytes describe(void *driver) {
    (void)driver;
    return text("{\"mrp_plugin\": " PROTOCOL ", \"driver\": \"behaves\", \"capabilities\": {\"read_boot\": true, \"console\": true}, "
                "\"options\": {\"type\": \"object\"}}");
}

const MrpDriverV1 *mrp_bmc_driver_v1(const MrpHostV1 *host) {
    static const MrpDriverV1 driver = {sizeof driver, VERSION, NULL, describe, ask, cancel, console_write, console_break};
    mrp = host;
#ifdef NULL_ENTRY
    return NULL;
#endif
#ifdef HANG
    for (;;) pause();
#endif
    return &driver;
}
