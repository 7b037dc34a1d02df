//! The deliberate differences.

/// A difference, and the recorded cases that show it.
pub(super) struct Difference {
    pub(super) name: &'static str,
    /// What differs, and why.
    pub(super) reason: &'static str,
    /// The status codes that answers have here.
    pub(super) statuses: &'static [u16],
    /// Numbers in `tests/data/cases.json`.
    pub(super) cases: &'static [u32],
}

pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "errors-in-words",
        reason: "Refusals have `errors` as a list of strings in plain words; `error_type` keeps its name \
                 where the same rule refuses. The original answered a bare string, a list with nulls, SQL \
                 text or Python source.",
        statuses: &[400, 409],
        cases: &[
            37, 39, 40, 42, 43, 44, 45, 48, 51, 55, 59, 65, 67, 68, 70, 83, 84, 87, 103, 104, 105, 106, 122,
            126, 127, 141, 149, 151, 152, 163, 184, 185, 186, 197, 198, 207, 220, 223, 230, 232, 233, 234,
            235, 236, 238, 239, 248, 249, 250, 252, 262, 263, 264, 278, 283, 301, 302, 308, 309,
        ],
    },
    Difference {
        name: "bodies-of-refusals",
        reason: "Where the original answered an HTML page or an empty body, the same status has a JSON \
                 refusal, or a line of plain text on the machines' door. A 401 stays empty, as old \
                 clients expect.",
        statuses: &[308, 400, 403, 404],
        cases: &[
            15, 16, 81, 82, 175, 193, 195, 196, 205, 209, 292, 293, 294, 303, 317, 318, 336, 337, 338, 339,
            340, 341, 342, 343, 349, 350,
        ],
    },
    Difference {
        name: "no-internal-errors",
        reason: "What was an internal error (500) of a wrong request is refused with 400 or 404 and a \
                 reason.",
        statuses: &[400, 404],
        cases: &[
            38, 46, 47, 49, 50, 52, 53, 58, 63, 69, 73, 136, 160, 166, 170, 222, 265, 267, 295, 304, 353,
        ],
    },
    Difference {
        name: "bmc-failures",
        reason: "A BMC that fails is 502, one that is silent 504, both `BMCError`, in place of 500; the \
                 BMC's password is in no answer.",
        statuses: &[502, 504],
        cases: &[189, 190, 203],
    },
    Difference {
        name: "failed-runs",
        reason: "A BMC that fails when a machine is to be provisioned ends the run: the state is `error`, \
                 and netboot is off again. The original left `provisioning` behind.",
        statuses: &[200],
        cases: &[204],
    },
    Difference {
        name: "holders-only",
        reason: "Only a machine's holders and admins change its provisioning settings and its interfaces. \
                 The original let every user.",
        statuses: &[403],
        cases: &[77, 119],
    },
    Difference {
        name: "automatic-addresses",
        reason: "`configured_ipv4: \"auto\"` picks a free address, as the original's documents say; there \
                 it failed.",
        statuses: &[200],
        cases: &[131, 132, 138],
    },
    Difference {
        name: "null-reason",
        reason: "`reason: null` in `PUT …/assignee` is refused as a wrong body (400), not as a conflict.",
        statuses: &[400],
        cases: &[164],
    },
    Difference {
        name: "ids",
        reason: "A refused request uses up no id.",
        statuses: &[201],
        cases: &[153, 231, 237],
    },
    Difference {
        name: "more-methods",
        reason: "Paths have more methods: admins make machines by `POST /machine`, change them by `PATCH` \
                 and remove them by `DELETE /machine/{id}`; `Allow` lists them.",
        statuses: &[200, 409],
        cases: &[5, 6, 10],
    },
    Difference {
        name: "unknown-paths",
        reason: "An unknown path is 404 for every method. The original answered 405 to all but `GET`.",
        statuses: &[404],
        cases: &[9],
    },
    Difference {
        name: "start-page",
        reason: "`/` is a page that says where the API is, and `/api/v1/` leads to the page about it by a path.",
        statuses: &[200, 302],
        cases: &[13, 14],
    },
    Difference {
        name: "console",
        reason: "`/admin/ws-subprocess` is not there: it gave the BMC's password away to whoever had a \
                 console's token.",
        statuses: &[404],
        cases: &[214, 215, 216, 217],
    },
    Difference {
        name: "boot-configurations",
        reason: "Boot configurations are mrp's own: quoted for the loader's language, with a token in the \
                 answer file's URL, local boot by chainload. Stock GRUB's `grub.cfg-01-…`, \
                 `pxelinux.cfg/default` and `efidefault` in the root are served, and a machine that is \
                 unknown or has no kernel is told to boot its disk.",
        statuses: &[200],
        cases: &[321, 322, 323, 324, 325, 326, 327, 328, 329, 330, 331, 332, 333],
    },
    Difference {
        name: "own-files-only",
        reason: "A client gets the files of its own machine and public boot loaders; a `Range` is \
                 answered with 206. The original gave every file to everybody.",
        statuses: &[403],
        cases: &[334, 335, 344, 345, 346],
    },
];
