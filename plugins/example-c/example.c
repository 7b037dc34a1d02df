/* A plugin in C: BMCs that exist in memory only. It keeps the C ABI honest; see ../mrp_plugin.h and README.md. */
#include <stdio.h>
#include <string.h>

#include "../mrp_plugin.h"

#define BMCS 64

static const char HELLO[] =
    "{\"mrp_plugin\": 1, \"driver\": \"example-c\", \"capabilities\": {\"set_boot\": true, \"read_boot\": true}, "
    "\"options\": {\"type\": \"object\", \"additionalProperties\": false}}";

static const MrpHostV1 *mrp;
/* `boot` is the boot device as it was set, in JSON. */
static struct bmc { uint64_t instance; int open, on; char boot[128]; } bmcs[BMCS];

static MrpBytes text(const char *s) { return (MrpBytes){(const uint8_t *)s, strlen(s)}; }

/* An open BMC by its number, or a free place. */
static struct bmc *find(uint64_t instance, int open) {
    for (struct bmc *bmc = bmcs; bmc < bmcs + BMCS; bmc++)
        if (bmc->open == open && (!open || bmc->instance == instance)) return bmc;
    return NULL;
}

/* Carries out a call whose request is `json`, as mrp writes it: without spaces. The reply has 256 bytes. */
static int32_t act(uint64_t instance, const char *call, const char *json, char *reply) {
    struct bmc *bmc = find(instance, strcmp(call, "open") != 0);
    const char *boot = strstr(json, "\"boot\":");
    strcpy(reply, bmc ? "" : "this BMC is not open, or there are too many");
    if (!bmc) return MRP_FAILED;
    if (!strcmp(call, "open")) *bmc = (struct bmc){instance, 1, 0, "null"};
    else if (!strcmp(call, "close")) bmc->open = 0;
    else if (!strcmp(call, "power")) sprintf(reply, "{\"power\": \"%s\"}", bmc->on ? "on" : "off");
    else if (!strcmp(call, "set_power") && !strstr(json, "\"action\":\"soft\"")) bmc->on = !strstr(json, "\"action\":\"off\"");
    else if (!strcmp(call, "boot")) sprintf(reply, "{\"boot\": %s}", bmc->boot);
    else if (!strcmp(call, "set_boot") && boot && sscanf(boot + 7, "%126[^}]", bmc->boot) == 1) {
        if (bmc->boot[0] == '{') strcat(bmc->boot, "}");
    } else return strcpy(reply, "it has power and a boot device, nothing else"), MRP_UNSUPPORTED;
    return MRP_OK;
}

static void call(void *driver, uint64_t number, uint64_t instance, MrpBytes operation, MrpBytes request) {
    char name[32], json[2048], reply[256] = "the request is too long";
    int32_t status = MRP_FAILED;
    (void)driver;
    if (operation.len < sizeof name && request.len < sizeof json) {
        snprintf(name, sizeof name, "%.*s", (int)operation.len, (const char *)operation.ptr);
        snprintf(json, sizeof json, "%.*s", (int)request.len, (const char *)request.ptr);
        status = act(instance, name, json, reply);
    }
    mrp->done(mrp->host, number, status, text(reply));
}

static MrpBytes describe(void *driver) { return (void)driver, text(HELLO); }

const MrpDriverV1 *mrp_bmc_driver_v1(const MrpHostV1 *host) {
    static const MrpDriverV1 driver = {sizeof driver, MRP_PLUGIN_VERSION, NULL, describe, call, NULL, NULL, NULL};
    if (host->size < sizeof *host || host->version != MRP_PLUGIN_VERSION) return NULL;
    mrp = host;
    return &driver;
}
