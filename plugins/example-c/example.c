/* A plugin in C: BMCs that exist in memory only. It keeps the C ABI honest; see ../mrp_plugin.h and README.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../mrp_plugin.h"

static const char HELLO[] =
    "{\"mrp_plugin\": 1, \"driver\": \"example-c\", \"capabilities\": {\"set_boot\": true, \"read_boot\": true}, "
    "\"options\": {\"type\": \"object\", \"additionalProperties\": false}}";

struct bmc {
    int on;
    char boot[128]; /* the boot device, as it was set: JSON */
    struct bmc *next;
    uint64_t instance;
};

static const MrpHostV1 *mrp;
static struct bmc *bmcs;

static MrpBytes text(const char *s) { return (MrpBytes){(const uint8_t *)s, strlen(s)}; }

static void answer(uint64_t call, int32_t status, const char *payload) { mrp->done(mrp->host, call, status, text(payload)); }

static int is(MrpBytes bytes, const char *name) { return bytes.len == strlen(name) && !memcmp(bytes.ptr, name, bytes.len); }

/* The value behind `"key":`, up to the object's last brace. mrp writes JSON without spaces. */
static const char *value(const char *json, const char *key) {
    const char *found = strstr(json, key);
    return found ? found + strlen(key) : "";
}

static struct bmc *find(uint64_t instance, int add) {
    struct bmc *bmc;
    for (bmc = bmcs; bmc; bmc = bmc->next)
        if (bmc->instance == instance) return bmc;
    if (!add || !(bmc = calloc(1, sizeof *bmc))) return NULL;
    *bmc = (struct bmc){.boot = "null", .next = bmcs, .instance = instance};
    return bmcs = bmc;
}

static void set_power(struct bmc *bmc, uint64_t call, const char *action) {
    if (!strncmp(action, "\"soft\"", 6)) return answer(call, MRP_UNSUPPORTED, "soft shutdown");
    bmc->on = strncmp(action, "\"off\"", 5) != 0;
    answer(call, MRP_OK, "");
}

static void set_boot(struct bmc *bmc, uint64_t call, const char *boot) {
    snprintf(bmc->boot, sizeof bmc->boot, "%.*s%s", (int)strcspn(boot, "}"), boot, boot[0] == '{' ? "}" : "");
    answer(call, MRP_OK, "");
}

static void ask(void *driver, uint64_t call, uint64_t instance, MrpBytes operation, MrpBytes request) {
    char json[2048], reply[256] = "";
    struct bmc *bmc = find(instance, is(operation, "open"));
    (void)driver;
    if (!bmc) return answer(call, MRP_FAILED, "this BMC is not open");
    if (is(operation, "open")) return answer(call, MRP_OK, "");
    if (request.len >= sizeof json) return answer(call, MRP_FAILED, "the request is too long");
    snprintf(json, sizeof json, "%.*s", (int)request.len, (const char *)request.ptr);
    if (is(operation, "set_power")) return set_power(bmc, call, value(json, "\"action\":"));
    if (is(operation, "set_boot")) return set_boot(bmc, call, value(json, "\"boot\":"));
    if (is(operation, "power")) {
        snprintf(reply, sizeof reply, "{\"power\": \"%s\"}", bmc->on ? "on" : "off");
    } else if (is(operation, "boot")) {
        snprintf(reply, sizeof reply, "{\"boot\": %s}", bmc->boot);
    } else {
        return answer(call, MRP_UNSUPPORTED, "it has power and a boot device, nothing else");
    }
    answer(call, MRP_OK, reply);
}

static MrpBytes describe(void *driver) {
    (void)driver;
    return text(HELLO);
}

const MrpDriverV1 *mrp_bmc_driver_v1(const MrpHostV1 *host) {
    static const MrpDriverV1 driver = {sizeof driver, MRP_PLUGIN_VERSION, NULL, describe, ask, NULL, NULL, NULL};
    if (host->size < sizeof *host || host->version != MRP_PLUGIN_VERSION) return NULL;
    mrp = host;
    return &driver;
}
