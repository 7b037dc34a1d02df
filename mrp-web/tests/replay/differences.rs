//! The deliberate differences, each with what allows it: a quirk of the original (Q1 to Q30, as its recorder numbered
//! them) that mrp mends, or a BMC's failure, which has a status of its own.

use serde_json::Value;

/// A difference, and the recorded cases that show it.
pub(crate) struct Difference {
    pub(crate) name: &'static str,
    /// The original's quirk.
    pub(crate) allowed_by: &'static str,
    /// What differs, and why.
    pub(crate) reason: &'static str,
    /// The status codes that answers have here.
    pub(super) statuses: &'static [u16],
    /// What their bodies are.
    pub(super) shape: Shape,
    /// Numbers in `tests/data/cases.json`.
    pub(crate) cases: &'static [u32],
}

/// What a body is that differs.
pub(super) enum Shape {
    /// A refusal: a class and a list of words, or on machines' routes a line of words.
    Refusal,
    /// A body for which this holds.
    Is(fn(&Value) -> bool),
    /// A boot configuration for the local disk.
    LocalBoot,
    /// A boot configuration.
    Boot,
    /// Nothing that could be compared, for this reason.
    Uncompared(&'static str),
}

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "errors-in-words",
        allowed_by: "Q4",
        reason: "Refusals have `errors` as a list of strings in plain words; `error_type` keeps its name \
                 where the same rule refuses. The original answered a bare string, a list with nulls, SQL \
                 text or Python source.",
        statuses: &[400, 409],
        shape: Shape::Refusal,
        cases: &[
            37, 39, 40, 42, 43, 44, 45, 48, 51, 55, 59, 65, 67, 68, 70, 83, 84, 87, 103, 104, 105, 106, 122,
            126, 127, 141, 149, 151, 152, 163, 184, 185, 186, 197, 198, 207, 220, 223, 230, 232, 233, 234,
            235, 236, 238, 239, 248, 249, 250, 252, 262, 263, 264, 278, 283, 301, 302, 308, 309,
        ],
    },
    Difference {
        name: "forbidden",
        allowed_by: "Q5",
        reason: "A 403 has always the JSON refusal, and says who may; the original's was empty, or `Forbidden`.",
        statuses: &[403],
        shape: Shape::Refusal,
        cases: &[146, 147, 165, 167, 175, 193, 205, 209, 241, 244, 251, 271, 275, 282],
    },
    Difference {
        name: "no-internal-errors",
        allowed_by: "Q7",
        reason: "What was an internal error (500) of a wrong request is refused with 400 or 404 and a \
                 reason.",
        statuses: &[400, 404],
        shape: Shape::Refusal,
        cases: &[
            38, 46, 47, 49, 50, 52, 53, 58, 63, 69, 73, 136, 160, 166, 170, 222, 265, 267, 295, 304, 353,
        ],
    },
    Difference {
        name: "more-methods",
        allowed_by: "Q6",
        reason: "Paths have more methods: admins make machines by `POST /machine`, change them by `PATCH` \
                 and remove them by `DELETE /machine/{id}`; `Allow` lists them.",
        statuses: &[409],
        shape: Shape::Refusal,
        cases: &[10],
    },
    Difference {
        name: "holders-only",
        allowed_by: "Q9",
        reason: "Only a machine's holders and admins change its provisioning settings and its interfaces. \
                 The original let every user.",
        statuses: &[403],
        shape: Shape::Refusal,
        cases: &[77, 119],
    },
    Difference {
        name: "null-reason",
        allowed_by: "Q14",
        reason: "`reason: null` in `PUT …/assignee` is refused as a wrong body (400), not as a conflict.",
        statuses: &[400],
        shape: Shape::Refusal,
        cases: &[164],
    },
    Difference {
        name: "automatic-addresses",
        allowed_by: "Q15",
        reason: "`configured_ipv4: \"auto\"` picks a free address, as the original's documents say; there \
                 it failed.",
        statuses: &[200],
        shape: Shape::Is(|interface| {
            interface["configured_ipv4"].as_str().is_some_and(|ip| ip.starts_with("10.10"))
        }),
        cases: &[131, 132, 138],
    },
    Difference {
        name: "bmc-failures",
        allowed_by: "BMC statuses, Q16",
        reason: "A BMC that fails is 502, one that is silent 504, both `BMCError`, in place of 500; the \
                 BMC's password is in no answer.",
        statuses: &[502, 504],
        shape: Shape::Refusal,
        cases: &[189, 190, 203],
    },
    Difference {
        name: "wrong-states",
        allowed_by: "Q17",
        reason: "A state that is part of the word `provision` is refused in words; the original's answer was \
                 empty.",
        statuses: &[400],
        shape: Shape::Refusal,
        cases: &[195, 196],
    },
    Difference {
        name: "failed-runs",
        allowed_by: "Q17",
        reason: "A BMC that fails when a machine is to be provisioned ends the run: the state is `error`, \
                 and netboot is off again. The original left `provisioning` behind.",
        statuses: &[200],
        shape: Shape::Is(|body| body["state"] == "error"),
        cases: &[204],
    },
    Difference {
        name: "console",
        allowed_by: "Q18",
        reason: "`/admin/ws-subprocess` is not there: it gave the BMC's password away to whoever had a \
                 console's token.",
        statuses: &[404],
        shape: Shape::Refusal,
        cases: &[214, 215, 216, 217],
    },
    Difference {
        name: "boot-paths",
        allowed_by: "Q26",
        reason: "Stock GRUB's `grub.cfg-01-…`, `pxelinux.cfg/default` and `efidefault` in the root are \
                 served, and a machine that is unknown is told to boot its disk.",
        statuses: &[200],
        shape: Shape::Boot,
        cases: &[321, 328, 329, 331, 333],
    },
    Difference {
        name: "boot-without-kernel",
        allowed_by: "Q26",
        reason: "A machine that has no kernel is told to boot its disk. The original's configuration had an \
                 empty path for the kernel.",
        statuses: &[200],
        shape: Shape::Uncompared("the original's boot configuration boots nothing"),
        cases: &[327],
    },
    Difference {
        name: "own-files-only",
        allowed_by: "Q26",
        reason: "A client gets the files of its own machine and public boot loaders, and is told so in a \
                 line of words; a `Range` is answered with 206. The original gave every file to everybody.",
        statuses: &[403, 404],
        shape: Shape::Refusal,
        cases: &[334, 335, 336, 338, 339, 340, 341, 344, 345, 346],
    },
    Difference {
        name: "template-errors",
        allowed_by: "Q4",
        reason: "A template that cannot be read is refused with the words of mrp's template engine, and with \
                 the line.",
        statuses: &[400],
        shape: Shape::Is(|body| {
            body.as_str().is_some_and(|text| text.contains("line") && text.contains('2'))
        }),
        cases: &[351],
    },
];
