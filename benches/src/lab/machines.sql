-- Machines {had} + 1 to {machines}, each with an interface, a third with a lease, one event each; and who holds them.
-- Those that were there are as they were made: netboot and the boot token of a machine end when it is given back.
-- One text for both databases.
BEGIN;

UPDATE machines SET boot_epoch = 1, netboot = CASE WHEN id % 2 = 0 THEN 'hand' ELSE 'off' END
WHERE boot_epoch <> 1;

INSERT INTO users (revision, name, email, admin, password_hash, ssh_keys)
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 49)
SELECT 1, 'user-' || i, 'user@example.org', FALSE, '!', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJlbmNo laptop'
FROM n WHERE NOT EXISTS (SELECT id FROM users WHERE name = 'user-0');

INSERT INTO machines (revision, name, arch_id, subarch_id, bmc_id, bmc_info, kernel_id, initrd_id, kernel_options, answer_file_id, netboot, netboot_run_id, boot_epoch, state)
WITH RECURSIVE n(i) AS (SELECT {had} + 1 UNION ALL SELECT i + 1 FROM n WHERE i < {machines})
SELECT 1, 'node-' || substr(CAST(1000000 + i AS TEXT), 2), archs.id, subarchs.id, NULL, '', kernel.id, initrd.id, 'console=ttyS0,115200', answer_files.id, CASE WHEN i % 2 = 0 THEN 'hand' ELSE 'off' END, NULL, 1, CASE WHEN i % 3 = 0 THEN 'ready' ELSE 'unknown' END
FROM n
JOIN archs ON archs.name = CASE WHEN i % 4 = 0 THEN 'arm64' ELSE 'x86_64' END
JOIN subarchs ON subarchs.arch_id = archs.id
JOIN images AS kernel ON kernel.file_name = 'vmlinuz'
JOIN images AS initrd ON initrd.file_name = 'initrd.gz'
JOIN answer_files ON answer_files.name = 'debian'
ORDER BY i;

INSERT INTO interfaces (revision, machine_id, mac, identifier, network_id, addressing, ipv4)
SELECT 1, machines.id, '52:54:00:' || substr(machines.name, 6, 2) || ':' || substr(machines.name, 8, 2) || ':' || substr(machines.name, 10, 2), 'eth0', networks.id, CASE WHEN machines.id % 3 = 0 THEN 'dynamic' ELSE 'dynamic-reserved' END, CASE WHEN machines.id % 3 = 0 THEN NULL ELSE '10.' || (machines.id % {networks}) || '.' || (machines.id / {networks} / 250) || '.' || (machines.id / {networks} % 250 + 2) END
FROM machines JOIN networks ON networks.name = 'lab-' || (machines.id % {networks})
WHERE machines.id > {had} ORDER BY machines.id;

INSERT INTO leases (mac, ipv4, last_seen)
SELECT interfaces.mac, '10.' || (machine_id % {networks}) || '.' || (machine_id / {networks} / 250) || '.' || (machine_id / {networks} % 250 + 2), 1700000000000
FROM interfaces WHERE machine_id > {had} AND machine_id % 3 = 0;

INSERT INTO events (at, machine_id, run_id, kind, actor, text, data)
SELECT 1700000000000, id, NULL, 'dhcp', 'dhcp', 'DISCOVER of a network card (firmware)', '{}'
FROM machines WHERE id > {had};

DELETE FROM assignments;
INSERT INTO assignments (revision, machine_id, user_id, reason, since)
SELECT 1, machines.id, users.id, 'nightly tests', 1700000000000
FROM machines
JOIN users ON users.name = CASE WHEN machines.id % {alice} = 0 THEN 'alice' WHEN machines.id % {ci} = 1 THEN 'ci' ELSE 'user-' || (machines.id % 50) END
WHERE machines.id <= {machines} / 2;

COMMIT;
ANALYZE;
