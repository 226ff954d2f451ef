#!/bin/bash
# The command line without a cluster: usage, help, settings, the sandbox. Prints TAP lines.
. "$(dirname "$0")/tap.sh"
man=$(cd "$(dirname "$0")/../.." && pwd -P)/doc/man/odezk.1

# usage_mistake PATTERN ARGUMENTS...: exit code 2, nothing on stdout, one line on stderr
usage_mistake() {
    local pattern=$1
    shift
    run "$@"
    [ "$code" -eq 2 ] && [ ! -s "$tmp/out" ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] &&
        grep -q '^odezk: ' "$tmp/err" && grep -q -- "$pattern" "$tmp/err"
    ok $? "mistake: odezk $*"
}

test_usage() {
    usage_mistake 'command is missing'
    usage_mistake "no such command: 'nonsense'" nonsense
    usage_mistake "unknown or ambiguous option '--nonsense'" --nonsense
    usage_mistake "unknown option '-x'" -x
    usage_mistake "'--config' needs a value" --config
    usage_mistake "'--json=yes': no value" --json=yes status
    usage_mistake "unknown or ambiguous option '--id'" status --id n1
    usage_mistake "'--id' needs a value" node --id
    usage_mistake "no operands are allowed: 'n1'" node n1
    usage_mistake "no operands are allowed: 'x'" status x
    usage_mistake "no operands are allowed: 'x'" watch x
    usage_mistake "found 'colour', allowed is KEY=VALUE" node --meta colour
    usage_mistake "one node's id is needed" resign
    usage_mistake "one node's id is needed" resign n1 n2
    usage_mistake '--lock KEY is needed' exec -- true
    usage_mistake 'a command is needed' exec --lock k
    usage_mistake "--wait: found 'soon', allowed is" exec --lock k --wait soon -- true
    usage_mistake "--wait: found '-1', allowed is" exec --lock k --wait -1 -- true
    usage_mistake "--grace: found '99999999999'" exec --lock k --grace 99999999999 -- true
    usage_mistake 'check, show or keys is needed' config
    usage_mistake "found 'list', allowed is check, show or keys" config list
    usage_mistake 'one directory at most' config check a b
    usage_mistake "--config: found ''" status --config ''
    usage_mistake "--config: found ''" --config '' config check
    usage_mistake "found '', allowed is a directory" config check ''
    usage_mistake "exclude each other" config check --config /nonexistent .
    usage_mistake "found '', allowed is a node's id" resign ''
    usage_mistake "found 'a/b', allowed is a node's id" resign a/b
    usage_mistake "--servers: found '2', allowed is 1 or 3" sandbox --servers 2
    usage_mistake "--tick: found 'x'" sandbox --tick x
    usage_mistake 'of the common options only' sandbox --cluster c
    usage_mistake 'exclude each other' sandbox --control -- true
    usage_mistake 'exclude each other' sandbox --control --until-eof
}

test_help() {
    expect 0 '^usage: odezk ' '' 'help' --help
    for command in node status watch resign exec locks config sandbox; do
        grep -q "^  $command " "$tmp/out"
        ok $? "help names $command"
    done
    for command in $(sed -n '/^Commands:$/,/^$/s/^  \([a-z]*\) .*/\1/p' "$tmp/out"); do
        grep -q "^\.It Cm $command\$" "$man" && grep -q "^\.Xr odezk-$command 1" "$man"
        ok $? "odezk.1 names $command"
    done
    for command in node status watch resign exec locks config sandbox; do
        expect 0 "^usage: odezk $command" '' "help of $command" "$command" --help
    done
    expect 0 '^odezk [0-9]+\.[0-9]+\.[0-9]+$' '' 'version' --version
}

test_output() {
    "$odezk" --help >/dev/full 2>"$tmp/err"
    [ $? -eq 1 ] && grep -q '^odezk: cannot write to standard output' "$tmp/err"
    ok $? 'a full disk is a failure'
    "$odezk" config keys >&- 2>"$tmp/err"
    [ $? -eq 1 ] && grep -q 'cannot write to standard output' "$tmp/err"
    ok $? 'a closed standard output is a failure'
    "$odezk" --help 2>"$tmp/err" >/dev/null <&-
    ok $? 'a closed standard input is none'
}

write_xml() {
    mkdir -p "$tmp/$1"
    cat >"$tmp/$1/ode-cluster.xml"
}

test_config() {
    write_xml good <<-XML
	<ode-cluster>
	    <cluster>from-file</cluster>
	    <session-timeout>7000</session-timeout>
	    <auth>digest:user:opensesame</auth>
	</ode-cluster>
	XML
    write_xml bad <<-XML
	<ode-cluster>
	    <session-timeout>soon</session-timeout>
	    <cluster>a/b</cluster>
	</ode-cluster>
	XML

    expect 0 '^ok$' '' 'check without files' config check
    expect 0 '^ok$' '' 'check a directory' config check "$tmp/good"
    expect 2 '' 'ode-cluster.xml:2: ' 'check tells a mistake' config check "$tmp/bad"
    grep -q 'ode-cluster.xml:3: ' "$tmp/err"
    ok $? 'check tells all mistakes'
    expect 2 '"ok":false,"problems":\[\{"file":".*","line":2,' '' 'check --json with mistakes' \
        config check --json "$tmp/bad"
    expect 0 '^\{"ok":true,"problems":\[\]\}$' '' 'check --json' config check --json "$tmp/good"

    # What fits alone, but not together with an option.
    write_xml lag <<-XML
	<ode-cluster><lease-lag>2500</lease-lag></ode-cluster>
	XML
    expect 0 '^ok$' '' 'check: settings that fit' config check "$tmp/lag"
    expect 2 '' 'lease-lag: found .2500.*session-timeout \(1000\)' 'check: settings that do not fit with an option' \
        config check "$tmp/lag" --session-timeout 1000
    expect 2 '"ok":false,"problems":\[\{"file":"","line":0,"message":".*lease-lag' '' \
        'check --json: settings that do not fit with an option' config check --json "$tmp/lag" --session-timeout 1000
    expect 2 '^\{"ok":false,"problems":\[\{"file":"","line":0,"message":"servers: found .*\}\]\}$' '' \
        'check --json with a mistake on the command line' config check --json --servers x:99999
    write_xml files <<-XML
	<ode-cluster>
	    <log4c-file>nolog4c</log4c-file>
	</ode-cluster>
	XML
    expect 2 '' 'ode-cluster.xml:2: log4c-file: found .*No such file' 'check: a file that is not there' \
        config check "$tmp/files"
    echo garbage >"$tmp/files/nolog4c"
    expect 2 '' 'not a valid log4c configuration' 'check: a file that is something else' config check "$tmp/files"

    expect 0 '^cluster +default +\(default\)' '' 'show the defaults' config show
    ODEZK_CONFIG= expect 0 '^cluster +default +\(default\)' '' 'an empty $ODEZK_CONFIG is none' config show
    expect 0 '"cluster":\{"value":"from-file","source":".*ode-cluster.xml:2"\}' '' \
        'show --json: a string and its source' config show --json "$tmp/good"
    grep -q '"session-timeout":{"value":7000,' "$tmp/out"
    ok $? 'show --json: a number'
    grep -q '"lease-lag":{"value":"auto","source":"default"}' "$tmp/out"
    ok $? 'show --json: auto'
    ! grep -q opensesame "$tmp/out"
    ok $? 'show masks secrets'
    expect 0 '"cluster":\{"value":"mine","source":"command line"\}' '' \
        'the command line has precedence' --cluster mine config show --json "$tmp/good"
    expect 0 '"cluster":\{"value":"mine","source":"command line"\}' '' \
        'options may come after the operands' config show "$tmp/good" --json --cluster mine
    expect 0 '"value":"from-file"' '' '--config' --config "$tmp/good" config show --json
    ODEZK_CONFIG=$tmp/good expect 0 '"value":"from-file"' '' '$ODEZK_CONFIG' config show --json
    ODEZK_CONFIG=$tmp/bad expect 0 '"value":"from-file"' '' '--config before $ODEZK_CONFIG' \
        config show --json --config "$tmp/good"

    expect 2 '' 'session-timeout' 'a mistake on the command line' config show --session-timeout 1
    run config show --session-timeout 1 --cluster a/b "$tmp/bad"
    [ "$code" -eq 2 ] && [ "$(wc -l <"$tmp/err")" -eq 4 ]
    ok $? 'mistakes in files and on the command line are told together'
    expect 2 '' 'ode-cluster.xml:2: ' 'a command with wrong settings' status --config "$tmp/bad"

    expect 0 '^session-timeout$' '' 'keys' config keys
    expect 0 '^\[\{"name":"servers","type":"string","default":"localhost:2181"' '' 'keys --json' \
        config keys --json
}

# start_sandbox ARGUMENTS...: in the background, with its data in $tmp/data; waits for its output
start_sandbox() {
    mkdir -p "$tmp/data"
    : >"$tmp/sandbox"
    "$odezk" sandbox --dir "$tmp/data" "$@" >"$tmp/sandbox" 2>"$tmp/err" </dev/null &
    sandbox=$!
    started+=("$sandbox")
    until_true 60 test -s "$tmp/sandbox"
}

# end_sandbox SIGNAL: sets $code
end_sandbox() {
    kill "-$1" "$sandbox"
    wait "$sandbox" 2>/dev/null
    code=$?
    started=()
}

data_is_gone() {
    [ -z "$(ls -A "$tmp/data")" ]
}

# answers ADDRESS:PORT: whether a server says that it serves
answers() {
    (exec 3<>"/dev/tcp/${1%:*}/${1#*:}" && echo srvr >&3 && timeout 2 grep -q '^Mode: ' <&3) \
        2>/dev/null
}

test_sandbox_life() {
    start_sandbox
    ok $? 'sandbox starts'
    connect=$(head -1 "$tmp/sandbox")
    pids=$(sed -n 's/^pids //p' "$tmp/sandbox")
    [[ $connect =~ ^127\.0\.0\.1:[0-9]+$ ]] && answers "$connect"
    ok $? 'the first line is the connect string of a server that serves'
    [ "$(wc -w <<<"$pids")" -eq 1 ] && kill -0 "$pids"
    ok $? 'the second line has its process id'
    end_sandbox TERM
    [ "$code" -eq 0 ] && all_gone $pids && data_is_gone
    ok $? 'SIGTERM ends it, and nothing is left'

    start_sandbox
    pids=$(sed -n 's/^pids //p' "$tmp/sandbox")
    end_sandbox INT
    [ "$code" -eq 0 ] && all_gone $pids && data_is_gone
    ok $? 'SIGINT too'

    start_sandbox
    pids=$(sed -n 's/^pids //p' "$tmp/sandbox")
    end_sandbox KILL
    until_true 10 all_gone $pids
    ok $? 'SIGKILL leaves no server'
    left=$(ls -d "$tmp"/data/*)
    run sandbox --dir "$tmp/data" -- test ! -e "$left"
    [ "$code" -eq 0 ] && data_is_gone
    ok $? 'the next sandbox removes the data of the killed one'

    start_sandbox
    kept=$(ls -d "$tmp"/data/*)
    run sandbox --dir "$tmp/data" -- test -e "$kept/1/zoo.cfg"
    ok "$code" 'but not that of a living one'
    end_sandbox TERM
    data_is_gone
    ok $? 'which removes it itself'
}

test_sandbox_three() {
    start_sandbox --servers 3 --json
    ok $? 'three servers start'
    grep -Eq '^\{"connect":"127\.0\.0\.1:[0-9]+,127\.0\.0\.2:[0-9]+,127\.0\.0\.3:[0-9]+","servers":\[' \
        "$tmp/sandbox" && [ "$(wc -l <"$tmp/sandbox")" -eq 1 ]
    ok $? '--json prints one object'
    [ "$(grep -o '"mode":"follower"' "$tmp/sandbox" | wc -l)" -eq 2 ] &&
        [ "$(grep -o '"mode":"leader"' "$tmp/sandbox" | wc -l)" -eq 1 ]
    ok $? 'one leads, two follow'
    pids=$(grep -o '"pid":[0-9]*' "$tmp/sandbox" | cut -d: -f2)
    end_sandbox TERM
    [ "$code" -eq 0 ] && all_gone $pids && data_is_gone
    ok $? 'all three are ended'
}

test_sandbox_command() {
    expect 7 '^127\.0\.0\.1:[0-9]+ [0-9]+$' '' 'a command has the servers, and its exit code counts' \
        sandbox --dir "$tmp/data" -- sh -c 'echo "$ODEZK_SERVERS $ZK_PIDS"; exit 7'
    until_true 10 all_gone "$(cut -d' ' -f2 "$tmp/out")"
    ok $? 'its server is ended'
    expect 137 '' '' 'a command that was killed' sandbox --dir "$tmp/data" -- sh -c 'kill -9 $$'
    expect 127 '' 'nonsense: No such file' 'a command that is not there' \
        sandbox --dir "$tmp/data" -- nonsense
    expect 126 '' '/etc/passwd: Permission denied' 'a command that is none' \
        sandbox --dir "$tmp/data" -- /etc/passwd
    expect 1 '' 'cannot make a directory in /nonexistent' 'a directory that is not there' \
        sandbox --dir /nonexistent
    env -u JAVA_HOME PATH=/nonexistent "$odezk" sandbox >"$tmp/out" 2>"$tmp/err"
    [ $? -eq 1 ] && grep -q '^odezk: sandbox: no java found: install' "$tmp/err"
    ok $? 'no java'
}

test_sandbox_input() {
    "$odezk" sandbox --dir "$tmp/data" --until-eof >"$tmp/out" 2>"$tmp/err" </dev/null
    [ $? -eq 0 ] && data_is_gone
    ok $? '--until-eof'

    printf '%s\n' 'stop 1' 'start 1' 'pause 1' 'cont 1' 'start 1' 'stop 4' 'nonsense' 'stop 1' 'stop 1' |
        timeout 60 "$odezk" sandbox --dir "$tmp/data" --control >"$tmp/out" 2>"$tmp/err"
    [ "$(tail -n +3 "$tmp/out" | cut -d' ' -f1 | tr '\n' ' ')" = \
        'ok ok ok ok error error error ok error ' ] && data_is_gone
    ok $? '--control stops, starts, pauses and continues a server'

    coproc control { exec "$odezk" sandbox --servers 3 --dir "$tmp/data" --control 2>"$tmp/err"; }
    read -r -t 60 connect <&"${control[0]}" && read -r -t 5 pids <&"${control[0]}"
    last=${connect##*,}
    answer() {
        echo "$1" >&"${control[1]}" && read -r -t 60 reply <&"${control[0]}" && [ "$reply" = ok ]
    }
    answer 'stop 3' && ! answers "$last" && answer 'stop 2' && answer 'start 3' && answer 'start 2' &&
        until_true 30 answers "$last"
    ok $? '--control with three servers, through the loss of the quorum'
    local pid=$control_PID
    eval "exec ${control[1]}>&-"
    wait "$pid"
    ok $? 'the end of its input ends the sandbox'
}

test_unreachable() {
    # A port where a server was, and is no more.
    run sandbox --dir "$tmp/data" -- sh -c 'echo "$ODEZK_SERVERS"'
    local servers
    servers=$(cat "$tmp/out")
    for command in 'status' 'status --json' 'watch' 'resign n1' 'exec --lock k -- true'; do
        # shellcheck disable=SC2086
        set -- $command
        local first=$1
        shift
        run "$first" --servers "$servers" --connect-timeout 300 "$@"
        [ "$code" -eq 3 ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q "^odezk: $first: " "$tmp/err"
        ok $? "no server: odezk $command"
        grep -q " no ZooKeeper server answered within 300 ms: $servers: Connection refused\$" "$tmp/err"
        ok $? "no server: odezk $command reports why"
    done
}

# What cannot work is found out before servers are looked for.
test_checked_first() {
    local from=$SECONDS
    for command in "exec --lock= -- true" 'exec --space a/b --lock k -- true' 'locks --space a/b' \
        'locks release --token 1 --yes --space a/b k'; do
        # shellcheck disable=SC2086
        set -- $command
        local first=$1
        shift
        expect 2 '' "^odezk: $first: .*(key|space)" "checked first: $command" \
            "$first" --servers 127.0.0.1:1 --connect-timeout 60000 "$@"
    done
    [ $((SECONDS - from)) -lt 30 ]
    ok $? 'all that needs no server'
}

test_usage
test_help
test_output
test_config
test_sandbox_life
test_sandbox_three
test_sandbox_command
test_sandbox_input
test_unreachable
test_checked_first
finish
