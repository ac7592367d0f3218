# Started by watchdog.rs with its standard input held open by the process that wants a folder and programs
# running in it. Makes the folder, prints its name, and reads what to end: `group PID` for programs of ours,
# `user PID` for a process that uses them, `ended PID` for one that is not to be ended any more, `cgroup DIR` for a
# control group to remove when all have ended. The end of input means that the holder is done, or dead: then
# everything is ended and the folder removed. A shell, because it needs no program of ours to be built and
# found by the tests of every crate; only POSIX, mktemp and fractions in sleep are asked of it.

# A Ctrl-C or a stop meant for the holder arrives here as the end of input, in its own good order.
trap '' HUP INT TERM
dir=$(mktemp -d "$1/datagate-env-XXXXXXXX") || exit 1
printf '%s\n' "$dir"
exec >/dev/null 2>&1

users=
groups=
cgroups=
while read -r kind what; do
    case $kind in
    user) users="$users $what" ;;
    group) groups="$groups -$what" ;;
    ended)
        left=
        for group in $groups; do
            [ "$group" = "-$what" ] || left="$left $group"
        done
        groups=$left
        ;;
    cgroup) cgroups="$cgroups $what" ;;
    esac
done

# Sends a signal to all of these; false when none of them is there any more.
signal() {
    with=$1
    shift
    found=1
    for target; do
        kill -s "$with" -- "$target" && found=0
    done
    return "$found"
}

# Bounded, because a zombie that nobody collects is there for ever. $1 times 0.05 s.
wait_gone() {
    polls=$1
    shift
    while [ "$polls" -gt 0 ] && signal 0 "$@"; do
        sleep 0.05
        polls=$((polls - 1))
    done
}

# Who uses the programs ends first, and may do so in order. Of the programs nothing is kept, and their
# orderly end takes seconds, so they are not asked.
signal TERM $users && wait_gone 100 $users
signal KILL $users $groups && wait_gone 40 $users $groups
cd / || exit 1
# What dies leaves its control group a moment later.
polls=40
for cgroup in $cgroups; do
    while [ -d "$cgroup" ] && [ "$polls" -gt 0 ]; do
        find "$cgroup" -depth -type d -exec rmdir {} \;
        [ ! -d "$cgroup" ] || sleep 0.05
        polls=$((polls - 1))
    done
done
polls=40
until rm -rf "$dir" || [ "$polls" -eq 0 ]; do
    sleep 0.05
    polls=$((polls - 1))
done
