-- How a BMC has been of late, as the server that drives it saw it: `BmcHealth` in JSON.
CREATE TABLE bmc_health (
    bmc_id BIGINT PRIMARY KEY REFERENCES bmcs (id) ON DELETE CASCADE,
    health TEXT COLLATE "C" NOT NULL
);
