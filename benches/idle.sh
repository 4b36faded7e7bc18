#!/bin/bash
# What an idle server costs: its memory after 10 s, and how long `ssh mini whoami` and `mini whoami` take.
. "$(dirname "$0")/contestants.sh"
rounds=${ROUNDS:-20}

prepare
start_mini
sleep 10
kilobytes=$(awk '/^VmRSS/ { print $2 }' "/proc/$mini_pid/status")
for _ in $(seq "$rounds"); do
  measure ssh $GIT_SSH_COMMAND -p "$mini_port" mini@127.0.0.1 whoami
  measure socket "$mini" whoami
done

echo "milliseconds, median                                  load $(cut -d' ' -f1 /proc/loadavg)"
row ssh "ssh mini whoami    (wanted: < 150)"
row socket "mini whoami"
awk -v kb="$kilobytes" 'BEGIN { printf "%-36s %8.1f MB\n", "memory, idle       (wanted: < 25 MB)", kb / 1000 }'
