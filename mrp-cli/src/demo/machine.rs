//! A simulated machine. It knows only what a machine knows: its MAC address, that DHCP answers, and what its boot
//! loader, its kernel command line and its answer file tell it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mrp_core::mac::MacAddr;
use serde_json::{Value, json};

use super::tftp;

/// What is cabled to a simulated machine.
#[derive(Debug, Clone)]
pub(crate) struct Cabling {
    /// Its MAC address.
    pub(crate) mac: MacAddr,
    /// The address that the pool of the simulated DHCP server holds for it.
    pub(crate) pool_address: IpAddr,
    /// What its DHCP server asks: mr-provisioner's hook contract.
    pub(crate) dhcp_url: String,
    /// Port of the network's TFTP server; real firmware knows 69 only.
    pub(crate) tftp_port: u16,
    /// The disk never boots: the firmware falls through to the network each time.
    pub(crate) dead_disk: bool,
}

/// Why a simulated machine stopped.
type Stop = Box<dyn std::error::Error + Send + Sync>;

/// What a boot loader was told.
#[derive(Debug, PartialEq, Eq)]
enum Menu {
    Local,
    Linux { kernel: String, initrd: Option<String>, command_line: String },
}

/// Client architecture of x86-64 UEFI (RFC 4578, 2.1).
const EFI_X64: u16 = 7;

/// Runs a machine from power-on until it sits at its login prompt, or stops. Dropping the future is its power-off.
pub(crate) async fn run(cabling: Cabling, mut network_first: bool) -> Result<(), Stop> {
    loop {
        // A disk without an operating system falls through to the network.
        if !network_first && !cabling.dead_disk {
            return installed_system(&cabling).await;
        }
        let Some(reboot_to_network) = netboot(&cabling).await? else { return Ok(()) };
        network_first = reboot_to_network;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// One netboot. `None`: it stays up. `Some`: it reboots, to the network first or not.
async fn netboot(cabling: &Cabling) -> Result<Option<bool>, Stop> {
    let (address, answer) = dhcp(cabling, Some(EFI_X64)).await?;
    let Some(boot_file) = boot_file(&answer) else { return Err("no boot file from DHCP: press F1".into()) };
    let server: IpAddr = answer["next-server"].as_str().unwrap_or_default().parse()?;
    let server = SocketAddr::new(server, cabling.tftp_port);
    // Firmware proper: it would run what it fetched.
    tftp::fetch(address, server, &boot_file).await?;
    let menu = tftp::fetch(address, server, &format!("grub/01-{}", cabling.mac.dashed())).await?;
    match parse_menu(&String::from_utf8(menu)?)? {
        Menu::Local if cabling.dead_disk => Ok(Some(true)),
        Menu::Local => installed_system(cabling).await.map(|()| None),
        Menu::Linux { kernel, initrd, command_line } => {
            tftp::fetch(address, server, &kernel).await?;
            if let Some(initrd) = initrd {
                tftp::fetch(address, server, &initrd).await?;
            }
            install(cabling, &command_line).await
        }
    }
}

/// What the installer in the initrd does with its kernel command line.
async fn install(cabling: &Cabling, command_line: &str) -> Result<Option<bool>, Stop> {
    let Some(url) = command_line.split(' ').find_map(|word| word.strip_prefix("url=")) else {
        return Ok(None);
    };
    let (address, _) = dhcp(cabling, None).await?;
    let http = client(address)?;
    let answers = http.get(url).send().await?.error_for_status()?.text().await?;
    tokio::time::sleep(Duration::from_millis(1500)).await; // partitions, unpacks, configures
    if cabling.dead_disk {
        return Ok(Some(true));
    }
    // `d-i preseed/late_command string wget -qO- http://…`
    let late_command = answers.lines().find_map(|line| line.strip_prefix("d-i preseed/late_command string "));
    if let Some(report) =
        late_command.and_then(|command| command.split(' ').find(|word| word.starts_with("http")))
    {
        http.get(report).send().await?.error_for_status()?;
    }
    Ok(Some(false))
}

/// The installed system: it asks for an address and sits there.
async fn installed_system(cabling: &Cabling) -> Result<(), Stop> {
    dhcp(cabling, None).await.map(|_| ())
}

/// One exchange with the site's DHCP server, which asks mrp by the old Kea hook's contract. `arch` is what firmware sends.
async fn dhcp(cabling: &Cabling, arch: Option<u16>) -> Result<(IpAddr, Value), Stop> {
    let http = client(cabling.pool_address)?;
    let (url, mac) = (&cabling.dhcp_url, cabling.mac.to_string());
    let options: Vec<Value> = arch.map(|arch| json!({"option": 93, "value": arch})).into_iter().collect();
    let seen = json!({"discover": true, "mac": mac, "options": options});
    http.post(format!("{url}/ipv4/seen")).json(&seen).send().await?.error_for_status()?;
    let answer = http.get(format!("{url}/ipv4?hwaddr={mac}")).send().await?.error_for_status()?;
    let answer: Value = answer.json().await?;
    let address = match answer["ipv4"].as_str() {
        Some(reserved) => reserved.parse()?,
        None => cabling.pool_address,
    };
    let lease = json!({"mac": mac, "ipv4": address.to_string(), "duration": 3600});
    http.post(format!("{url}/ipv4/lease")).json(&lease).send().await?.error_for_status()?;
    Ok((address, answer))
}

fn boot_file(answer: &Value) -> Option<String> {
    let options = answer["options"].as_array()?;
    let option = options.iter().find(|option| option["option"] == 67)?;
    option["value"].as_str().map(str::to_owned)
}

/// The firmware of the demo's machines has an address of its own on loopback; everything it sends comes from there.
fn client(address: IpAddr) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().local_address(address).timeout(Duration::from_secs(5)).no_proxy().build()
}

/// Reads a GRUB configuration as far as a machine's boot needs it.
fn parse_menu(text: &str) -> Result<Menu, Stop> {
    let (mut kernel, mut initrd) = (None, None);
    for line in text.lines() {
        let words = words(line);
        match words.first().map(String::as_str) {
            Some("linux") => kernel = Some(words),
            Some("initrd") => initrd = words.get(1).map(|path| file(path)),
            _ => {}
        }
    }
    let Some(kernel) = kernel else { return Ok(Menu::Local) };
    let path = kernel.get(1).map(|path| file(path)).ok_or("linux without a path")?;
    Ok(Menu::Linux { kernel: path, initrd, command_line: kernel[2..].join(" ") })
}

fn file(path: &str) -> String {
    path.trim_start_matches("(tftp)").trim_start_matches('/').to_owned()
}

/// Splits a line as GRUB's script language does: single quotes, and `\xHH` as its loader decodes it.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for c in line.trim().chars() {
        match c {
            '\'' => (quoted, any) = (!quoted, true),
            ' ' | '\t' if !quoted => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => {
                word.push(c);
                any = true;
            }
        }
    }
    if any {
        words.push(word);
    }
    words.iter().map(|word| decode(word)).collect()
}

fn decode(word: &str) -> String {
    let mut parts = word.split("\\x");
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(char::from(byte));
                decoded.push_str(&part[2..]);
            }
            None => {
                decoded.push_str("\\x");
                decoded.push_str(part);
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_menu_is_read_as_grub_reads_it() {
        let text = "set timeout=0\nmenuentry 'm' {\n\tlinux (tftp)/a/linux.1 BOOTIF=01-52 'x=\\x22y;\\x22' '$z'\n\tinitrd (tftp)/a/initrd.2\n}\n";
        let expected = Menu::Linux {
            kernel: "a/linux.1".into(),
            initrd: Some("a/initrd.2".into()),
            command_line: "BOOTIF=01-52 x=\"y;\" $z".into(),
        };
        assert_eq!(parse_menu(text).unwrap(), expected);
        assert_eq!(parse_menu("echo local\nchainloader /x\n").unwrap(), Menu::Local);
    }
}
