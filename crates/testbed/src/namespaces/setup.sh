# The first process of a node's namespaces: makes them a small machine, says "ready", and stays. When it ends, the kernel
# ends every process in the process namespace, and network and mounts go with the last of them.
# Arguments: the node's address with its prefix length.
set -eu

# What programs write at fixed places stays inside: /run and the changes to /var are gone with the namespaces.
mount -t tmpfs tmpfs /run
mkdir -p /run/testbed/var /run/testbed/work /run/lock
mount -t overlay overlay -o lowerdir=/var,upperdir=/run/testbed/var,workdir=/run/testbed/work /var

# A pair of links that ends here gives the node an address and a default route, and nothing leaves.
ip link set lo up
ip link add node0 type veth peer name nowhere
ip addr add "$1" dev node0
ip link set nowhere up
ip link set node0 up
ip route add default dev node0
echo 1 > /proc/sys/net/ipv4/ip_forward

trap 'exit 0' TERM
echo ready
# The shell reaps what is left to the first process; `wait` returns early for a signal alone.
sleep infinity &
wait
