# The first process of a node, as PID 1 of its namespaces; started by machine.rs, twice in a row.
# `init.sh DIR enter` joins the node's control groups and goes into a namespace of them; `init.sh DIR boot` then mounts
# what a node must have of its own and stays, as the one who collects orphans. Its end is the end of the node: the kernel
# ends all processes of the node, and its mounts and interfaces go with them.
# Only POSIX, mount and unshare are asked of it.
set -eu
dir=$1

case $2 in
enter)
    # The host's /proc still: our number as the host sees it.
    read -r pid _ </proc/self/stat
    printf '%s\n' "$pid" >"$dir/init.pid.new"
    while read -r _ group _; do
        echo 0 >"$group/cgroup.procs"
    done <"$dir/cgroups"
    exec unshare --cgroup -- /bin/sh "$dir/init.sh" "$dir" boot
    ;;
boot) ;;
esac

mount -t proc proc /proc
echo node >/proc/sys/kernel/hostname
# Mounts that the kubelet makes for a pod must reach the pod's containers.
mount --make-rshared /

# The interfaces in /sys are those of the network namespace it was mounted in.
mount -t sysfs sysfs /sys
read -r kind _ <"$dir/cgroups"
[ "$kind" = v2 ] || mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
while read -r kind _ join; do
    case $kind in
    v2)
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        # A group with processes cannot hand controllers down, and the kubelet wants to hand them down from the root.
        mkdir -p "/sys/fs/cgroup/$join"
        echo 0 >"/sys/fs/cgroup/$join/cgroup.procs"
        ;;
    v1)
        # $join is the controller here.
        mkdir -p "/sys/fs/cgroup/${join#name=}"
        case $join in
        name=*) mount -t cgroup -o "none,$join" cgroup "/sys/fs/cgroup/${join#name=}" ;;
        *) mount -t cgroup -o "$join" cgroup "/sys/fs/cgroup/$join" ;;
        esac
        ;;
    esac
done <"$dir/cgroups"

# Kept when the node is lost and comes back, as a disk is; /run is not.
mkdir -p "$dir/disk/lib" "$dir/disk/log"
mount --bind "$dir/disk/lib" /var/lib
mount --bind "$dir/disk/log" /var/log
mount -t tmpfs -o mode=755 tmpfs /run

# The kubelet sets these for the whole machine, so it gets copies.
mkdir /run/sysctl
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \
    kernel/keys/root_maxbytes; do
    [ -e "/proc/sys/$name" ] || continue
    mkdir -p "/run/sysctl/${name%/*}"
    cat "/proc/sys/$name" >"/run/sysctl/$name"
    mount --bind "/run/sysctl/$name" "/proc/sys/$name"
done

mv "$dir/init.pid.new" "$dir/init.pid"
trap 'exit 0' TERM
while :; do
    sleep 3600 &
    wait "$!"
done
