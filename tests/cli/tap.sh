# Functions of the command line's tests; sourced. ODEZK: the program to test (./odezk).
# Tests end with the function `finish`.
set -u

odezk=$(realpath "${ODEZK:-./odezk}")
if [ ! -x "$odezk" ]; then
    echo "Bail out! There is no $odezk."
    exit 1
fi
tmp=$(mktemp -d)
count=0
failures=0
started=() # background processes, to be ended whatever happens

unset ODEZK_CONFIG
export LC_ALL=C
# The thread sanitizer otherwise sleeps for a second at the end.
export TSAN_OPTIONS="${TSAN_OPTIONS:+$TSAN_OPTIONS:}atexit_sleep_ms=0"

main_pid=$BASHPID

clean_up() {
    # A signal may reach a child that has not become another program yet.
    [ "$BASHPID" -eq "$main_pid" ] || return
    for pid in "${started[@]}"; do
        kill -TERM "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    done
    rm -rf "$tmp"
}
trap clean_up EXIT

# skip NAME WHY
skip() {
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}

# ok CONDITION-STATUS NAME
ok() {
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
    else
        failures=$((failures + 1))
        echo "not ok $count - $2"
        sed 's/^/# out: /' "$tmp/out"
        sed 's/^/# err: /' "$tmp/err"
    fi
}

# Runs odezk with the given arguments; its output is in $tmp/out, $tmp/err, its exit code in $code.
run() {
    timeout 120 "$odezk" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    code=$?
}

# until_true SECONDS COMMAND...: whether the command succeeds before the time is over
until_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.02
    done
}

# expect CODE OUT-PATTERN ERR-PATTERN NAME ARGUMENTS...: patterns of grep -E; "" means empty
expect() {
    local wanted=$1 out=$2 err=$3 name=$4
    shift 4
    run "$@"
    matches "$tmp/out" "$out" && matches "$tmp/err" "$err" && [ "$code" -eq "$wanted" ]
    ok $? "$name"
}

matches() {
    if [ -z "$2" ]; then
        [ ! -s "$1" ]
    else
        grep -Eq -- "$2" "$1"
    fi
}

all_gone() {
    for pid in "$@"; do
        ! kill -0 "$pid" 2>/dev/null || return 1
    done
}

finish() {
    echo "1..$count"
    [ "$failures" -eq 0 ]
}
