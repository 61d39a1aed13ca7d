//! What the kernel knows of a pod's processes. In: a pod as the API server gives it. Out: its TCP connections, and how its
//! processes are confined. Reads `/proc`; does not talk to the cluster.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

/// The processes in pods' containers, by the pod's uid, which is in the path of their control group. The sandboxes' own are left
/// out.
pub fn processes() -> BTreeMap<String, Vec<u32>> {
    let mut processes: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let numbers =
        read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers {
        if let Some(uid) = pod_of(number) {
            processes.entry(uid).or_default().push(number);
        }
    }
    processes
}

fn pod_of(process: u32) -> Option<String> {
    // A process that has just ended is in no pod.
    let read = |file| read_to_string(format!("/proc/{process}/{file}")).ok();
    let group = read("cgroup")?;
    let (uid, _) = group.split_once("/pod")?.1.split_once('/')?;
    (read("comm")?.trim() != "pause").then(|| uid.to_owned())
}

/// What `/proc/PID/status` says, by name.
pub fn status(process: u32) -> BTreeMap<String, String> {
    let text = read_to_string(format!("/proc/{process}/status")).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// How the root file system of a process is mounted.
pub fn root_mount(process: u32) -> String {
    let text = read_to_string(format!("/proc/{process}/mountinfo")).unwrap();
    let columns = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    columns.into_iter().find(|columns| columns[4] == "/").unwrap()[5].to_owned()
}

/// A TCP socket in a pod's network.
#[derive(Clone, Copy, Debug)]
pub struct Socket {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub listens: bool,
}

/// The TCP sockets in the network of a process, those that have just ended included.
pub fn sockets(process: u32) -> Vec<Socket> {
    let table = |name| read_to_string(format!("/proc/{process}/net/{name}")).unwrap_or_default();
    let text = table("tcp") + &table("tcp6");
    text.lines().filter_map(socket).collect()
}

/// A line of the table: number, local address, remote address, state, of which 0A is listening.
fn socket(line: &str) -> Option<Socket> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    Some(Socket {
        local: address(columns.get(1)?)?,
        remote: address(columns.get(2)?)?,
        listens: columns[3] == "0A",
    })
}

/// `0100007F:1F90`: each four bytes of the address are a number in this machine's order.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words =
        address.as_bytes().chunks(8).map(|word| u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok());
    let bytes: Vec<u8> =
        words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let address = match <[u8; 4]>::try_from(&bytes[..]) {
        Ok(four) => IpAddr::from(four),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

/// Every process of a pod runs as the Pod Security level `restricted` means it: not as root, without any capability, without
/// a way to get one, with its system calls filtered, and it cannot write to its image.
pub fn assert_restricted(pod: &Value) {
    let name = &pod["metadata"]["name"];
    let processes = processes().remove(pod["metadata"]["uid"].as_str().unwrap());
    for process in processes.unwrap_or_else(|| panic!("{name} has no process")) {
        let status = status(process);
        let users: Vec<&str> =
            status["Uid"].split_whitespace().chain(status["Gid"].split_whitespace()).collect();
        assert!(!users.contains(&"0"), "{name} runs as root: {users:?}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status[set].trim_start_matches('0'), "", "{name} has capabilities in {set}");
        }
        assert_eq!(status["NoNewPrivs"], "1", "{name} may gain privileges");
        assert_eq!(status["Seccomp"], "2", "the system calls of {name} are not filtered");
        let root = root_mount(process);
        assert!(root.split(',').any(|option| option == "ro"), "{name} may write to its image: {root}");
    }
}
