#!/bin/bash
# The commands that need servers, against a sandbox of one. Prints TAP lines.
. "$(dirname "$0")/tap.sh"

# start NAME COMMAND ARGUMENTS...: odezk in the background, its output in $tmp/NAME; its pid is in
# $pid. Returns when it takes signals itself.
start() {
    "$odezk" "$2" "${common[@]}" "${@:3}" >"$tmp/$1" 2>"$tmp/$1.err" </dev/null &
    pid=$!
    started+=("$pid")
    until_true 20 takes_signals "$pid"
}

takes_signals() {
    local blocked
    blocked=$(sed -n 's/^SigBlk:\t*//p' "/proc/$1/status" 2>/dev/null)
    (((0x${blocked:-0} >> 14) & 1)) || ! kill -0 "$1" 2>/dev/null
}

# sees NAME PATTERN: whether a line of its output comes to match
sees() {
    until_true 20 grep -Eq -- "$2" "$tmp/$1"
}

# end SIGNAL PID: sets $code, and $took to milliseconds
end() {
    local from=${EPOCHREALTIME/./}
    kill "-$1" "$2"
    wait "$2" 2>/dev/null
    code=$?
    took=$(((${EPOCHREALTIME/./} - from) / 1000))
}

time='"time":"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"'

test_members() {
    expect 0 '^\{"cluster":"default","master":null,"members":\[\]\}$' '' 'status of no cluster' \
        status --json "${common[@]}"
    expect 0 '^no members$' '' 'status of no cluster, for people' status "${common[@]}"

    start watch watch --json
    watch=$pid
    start n1 node --id n1 --json --meta zone=a --meta 'text=a "b" ä'
    n1=$pid
    sees n1 "^\{\"event\":\"ready\",$time,\"node\":\"n1\",\"incarnation\":[0-9]+\}$"
    ok $? 'node: ready'
    sees n1 "^\{\"event\":\"session\",$time,\"node\":\"n1\",\"state\":\"connected\",\"generation\":1\}$"
    ok $? 'node: session'
    sees n1 "^\{\"event\":\"member\",$time,\"node\":\"n1\",\"change\":\"joined\",\"id\":\"n1\",\"incarnation\":[0-9]+\}$"
    ok $? 'node: member'
    sees n1 "^\{\"event\":\"master\",$time,\"node\":\"n1\",\"id\":\"n1\",\"epoch\":[0-9]+\}$"
    ok $? 'node: master'
    sees n1 "^\{\"event\":\"mastership\",$time,\"node\":\"n1\",\"held\":true,\"epoch\":[0-9]+,\"reason\":null\}$"
    ok $? 'node: mastership'

    start n2 node --id n2 --json
    n2=$pid
    start n3 node --id n3 --observer
    n3=$pid
    sees n2 '"ready"' && sees n3 ' ready '
    ok $? 'two more nodes'
    sees watch "^\{\"event\":\"member\",$time,\"node\":null,\"change\":\"joined\",\"id\":\"n3\"" &&
        sees watch "^\{\"event\":\"master\",$time,\"node\":null,\"id\":\"n1\"" &&
        ! grep -Eq '"(ready|mastership)"' "$tmp/watch"
    ok $? 'watch sees members and master'

    expect 0 '^\{"cluster":"default","master":\{"id":"n1","incarnation":[0-9]+,"epoch":[0-9]+\},"members":\[' '' \
        'status --json' status --json "${common[@]}"
    grep -Eq '\{"id":"n1","incarnation":[0-9]+,"since":"[^"]*Z","host":"[^"]+","pid":'"$n1"',"version":"[^"]+","started":"[^"]*Z","observer":false,"metadata":\{' \
        "$tmp/out" && grep -q '"zone":"a"' "$tmp/out" && grep -q '"text":"a \\"b\\" ä"' "$tmp/out"
    ok $? 'status tells of a member'
    [ "$(grep -o '"observer":true' "$tmp/out" | wc -l)" -eq 1 ]
    ok $? 'status tells observers'
    expect 0 '^n1 +master ' '' 'status for people' status "${common[@]}"

    run node --id n1 "${common[@]}"
    [ "$code" -eq 1 ] && grep -q "^odezk: node: .*n1.*pid $n1" "$tmp/err"
    ok $? 'a second node with a living id is refused'
    grep -q ' WARN .*refused: ' "$tmp/err"
    ok $? 'which is a warning in the log'

    expect 1 '' '^odezk: resign: ' 'resign: no such node' resign n9 "${common[@]}"
    expect 1 '' '^odezk: resign: ' 'resign: not master' resign n2 "${common[@]}"
    expect 0 '^\{"resigned":"n1"\}$' '' 'resign' resign --json n1 "${common[@]}"
    sees n1 '"held":false,.*"reason":"resigned"' && sees n2 '"held":true' && sees watch '"id":"n2","epoch"'
    ok $? 'the next one is master'

    end TERM "$n2"
    [ "$code" -eq 0 ] && [ "$took" -lt 1000 ]
    ok $? "a node leaves within a second ($took ms)"
    sees n1 '"change":"left","id":"n2"' && grep -q '"state":"closed"' "$tmp/n2"
    ok $? 'the others see it leave'
    end INT "$n3"
    [ "$code" -eq 0 ] && [ "$took" -lt 1000 ]
    ok $? 'SIGINT too'
    end TERM "$watch"
    ok "$code" 'watch ends at SIGTERM'
    end TERM "$n1"
}

test_exec() {
    expect 5 '^[1-9][0-9]* backup$' '' 'exec: the environment and the exit code' \
        exec "${common[@]}" --lock backup -- sh -c 'echo "$ODEZK_FENCING_TOKEN $ODEZK_LOCK_KEY"; exit 5'
    first=$(cut -d' ' -f1 "$tmp/out")
    run exec "${common[@]}" --lock backup printenv ODEZK_FENCING_TOKEN
    [ "$(cat "$tmp/out")" -gt "$first" ]
    ok $? 'exec: the token grows'
    [ "$(echo hello | "$odezk" exec "${common[@]}" --lock backup -- cat)" = hello ]
    ok $? 'exec: standard input'
    expect 0 '^0 1 2 3 $' '' 'exec: no other descriptors' \
        exec "${common[@]}" --lock backup -- bash -c 'for fd in /proc/self/fd/*; do printf "%s " "${fd##*/}"; done; echo'
    expect 137 '' '' 'exec: a signal' exec "${common[@]}" --lock backup -- sh -c 'kill -9 $$'
    expect 127 '' '^odezk: exec: nonsense: ' 'exec: no such command' exec "${common[@]}" --lock k -- nonsense
    expect 126 '' '^odezk: exec: /etc/passwd: ' 'exec: no command' exec "${common[@]}" --lock k -- /etc/passwd
    expect 2 '' '^odezk: exec: ' 'exec: an empty key' exec "${common[@]}" --lock '' -- true

    # What is made with credentials is its maker's own.
    mkdir "$tmp/mine"
    printf '<ode-cluster><auth>digest:me:secret</auth></ode-cluster>\n' >"$tmp/mine/ode-cluster.xml"
    expect 0 '' '' 'exec: with credentials' exec "${common[@]}" --config "$tmp/mine" --base /mine --lock k -- true
    expect 1 '' '^odezk: exec: lock default/k: ' 'exec: why there is no lock' \
        exec "${common[@]}" --base /mine --lock k -- true

    # sleep stands for a long task, and is found again by its odd duration.
    start holder exec --lock backup -- sh -c 'echo runs; sleep 1234.5 & sleep 1234.5'
    holder=$pid
    sees holder '^runs$'
    expect 75 '' '^odezk: exec: another holds' 'exec: --wait 0' \
        exec "${common[@]}" --lock backup --wait 0 -- true
    expect 75 '' '^odezk: exec: another holds' 'exec: --wait' \
        exec "${common[@]}" --lock backup --wait 200 -- true
    expect 0 '' '' 'exec: another space' exec "${common[@]}" --lock backup --space other --wait 0 -- true
    start waiter exec --lock backup -- echo got
    waiter=$pid
    end KILL "$holder"
    until_true 10 no_task
    ok $? 'exec: what it runs is killed with it'
    wait "$waiter"
    [ $? -eq 0 ] && grep -q '^got$' "$tmp/waiter"
    ok $? 'exec: the next one gets the lock of the killed one'

    start holder exec --lock backup -- sh -c 'trap "echo caught; exit 3" TERM; echo runs; sleep 1234.5 & wait'
    holder=$pid
    sees holder '^runs$'
    start waiter exec --lock backup -- echo got
    end TERM "$pid"
    [ "$code" -eq 143 ] && [ ! -s "$tmp/waiter" ]
    ok $? 'exec: a signal ends the wait'
    end TERM "$holder"
    [ "$code" -eq 3 ] && grep -q '^caught$' "$tmp/holder"
    ok $? 'exec: a signal is passed on'
    until_true 10 no_task
    ok $? 'exec: to the whole group'

    start holder exec --lock backup --grace 2000 -- sh -c 'trap "echo caught" TERM; echo runs; while :; do sleep 1234.5; done'
    holder=$pid
    sees holder '^runs$'
    kill -STOP $ZK_PIDS
    wait "$holder"
    code=$?
    kill -CONT $ZK_PIDS
    [ "$code" -eq 1 ] && grep -q "the lock 'backup' was lost" "$tmp/holder.err" && grep -q '^caught$' "$tmp/holder"
    ok $? 'exec: a lost lock ends the command'
    no_task
    ok $? 'exec: and all of its group'
}

no_task() {
    ! pgrep -f '^sleep 1234\.5' >/dev/null
}

test_chroot() {
    for command in 'status' 'watch' 'node' 'resign n1' 'exec --lock k true'; do
        # shellcheck disable=SC2086
        run ${command%% *} --servers "$ODEZK_SERVERS/nonsense" $(cut -s -d' ' -f2- <<<"$command")
        [ "$code" -eq 2 ] && grep -q "^odezk: ${command%% *}: .*/nonsense" "$tmp/err"
        ok $? "wrong chroot: $command"
    done
}

test_late_servers() {
    kill -STOP $ZK_PIDS
    start late node --id late --json
    late=$pid
    sees late '"state":"connecting"'
    kill -CONT $ZK_PIDS
    sees late '"ready"'
    ok $? 'a node joins when the servers come up'
    kill -STOP $ZK_PIDS
    end TERM "$late"
    kill -CONT $ZK_PIDS
    [ "$code" -eq 0 ] && [ "$took" -lt 1500 ]
    ok $? "a node ends within a second when no server answers ($took ms)"
}

# Its main thread gets no processor for longer than a leave may take.
test_late_thread() {
    local late=$PWD/tests/cli/.libs/late.so
    # Sanitizers want to be loaded first.
    if [ ! -e "$late" ] || grep -Eq '__(asan|tsan)_init' "$(dirname "$odezk")/.libs/odezk"; then
        skip 'a late thread' 'needs a shared object, and no sanitizer'
        return
    fi
    for command in node watch; do
        LD_PRELOAD=$late start "late-$command" "$command" --json
        sees "late-$command" '"state":"connected"'
        end TERM "$pid"
        [ "$code" -eq 0 ] && tail -1 "$tmp/late-$command" | grep -q '"state":"closed"' &&
            ! grep -q 'standard output' "$tmp/late-$command.err"
        ok $? "a late thread of $command writes all"
    done
}

test_warnings() {
    start unnamed node
    sees unnamed.err 'WARN .* after a restart this node will have another id'
    ok $? 'a node whose id nothing keeps'
    end TERM "$pid"
    mkdir -p "$tmp/slow"
    echo '<ode-cluster><crash-leave>false</crash-leave></ode-cluster>' >"$tmp/slow/ode-cluster.xml"
    start killed node --id again --config "$tmp/slow"
    sees killed ' ready '
    end KILL "$pid"
    start again node --id again --config "$tmp/slow"
    sees again ' ready ' && [ "$(grep -c 'WARN .*waiting for the previous process with id again' "$tmp/again.err")" -eq 1 ]
    ok $? 'a node that waits for the previous process with its id says so, once'
    end TERM "$pid"
}

if [ -z "${ZK_PIDS:-}" ]; then
    trap - EXIT
    rm -rf "$tmp"
    exec "$odezk" sandbox -- "$0"
fi
common=(--servers "$ODEZK_SERVERS" --session-timeout 4000)
test_members
test_exec
test_chroot
test_late_servers
test_late_thread
test_warnings
finish
