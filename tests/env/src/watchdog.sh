# Started by watchdog.rs with its standard input held open by the process that wants a folder and programs
# running in it. Makes the folder, prints its name, and reads what to end: one line for each, `-PID` for a
# process group, `PID` for one process. The end of input means that the holder is done, or dead: then
# everything is ended and the folder removed. A shell, because it needs no program of ours to be built and
# found by the tests of every crate; only POSIX, mktemp and fractions in sleep are asked of it.
parent=$1
polls=$2 # of 0.05 s between SIGTERM and SIGKILL

# A Ctrl-C or a stop meant for the holder arrives here as the end of input, in its own good order.
trap '' HUP INT TERM
dir=$(mktemp -d "$parent/datagate-env-XXXXXXXX") || exit 1
printf '%s\n' "$dir"
exec >/dev/null 2>&1

targets=
while read -r target; do
    targets="$targets $target"
done

signal() {
    for target in $targets; do
        kill -s "$1" -- "$target"
    done
}

alive() {
    for target in $targets; do
        kill -s 0 -- "$target" && return 0
    done
    return 1
}

# After SIGKILL the wait is for the kernel, and a zombie that nobody collects must not make it endless.
wait_gone() {
    count=0
    while alive && [ "$count" -lt "$1" ]; do
        sleep 0.05
        count=$((count + 1))
    done
}

signal TERM
wait_gone "$polls"
if alive; then
    signal KILL
    wait_gone 20
fi
cd / || exit 1
count=0
until rm -rf "$dir" || [ "$count" -ge 20 ]; do
    sleep 0.05
    count=$((count + 1))
done
